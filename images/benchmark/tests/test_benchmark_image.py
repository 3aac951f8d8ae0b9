"""Run inside the image: `images/test benchmark`. Every tool is run on numbers whose answer is known, not only imported."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest


def months(path, value, name="mrsos"):
    """Two years of one value a month (or one for all) everywhere on a coarse globe, as CMIP6 writes it."""
    import cftime
    import numpy as np
    import xarray as xr

    time = [cftime.DatetimeNoLeap(2001 + k // 12, k % 12 + 1, 15) for k in range(24)]
    lat, lon = np.arange(-85.0, 90, 10), np.arange(5.0, 360, 10)
    field = np.broadcast_to(np.reshape(value, (-1, 1, 1)), (24, lat.size, lon.size)).astype("float32")
    data = xr.Dataset(
        {name: (("time", "lat", "lon"), field, {"units": "kg m-2", "standard_name": "mass_content_of_water_in_soil_layer"})},
        coords={
            "time": time,
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )
    data.to_netcdf(path, unlimited_dims=["time"])
    return path


class Tools(unittest.TestCase):
    def test_the_peers_import_beside_vadose(self):
        for name in ("ILAMB.Variable", "mpi4py.MPI", "uxarray", "pytesmo", "xskillscore", "intake_esgf", "nco", "vadose.benchmark"):
            with self.subTest(name):
                importlib.import_module(name)

    def test_ilamb3_scores_a_shift_as_its_papers_say(self):
        """Three kg m-2 too dry, all year and everywhere: bias score exp(-3 / sd), and nothing else is wrong (Collier et al. 2018)."""
        import numpy as np

        from vadose.benchmark import ilamb3_side
        from vadose.benchmark.engine import interpreter

        season = 5 * np.sin(2 * np.pi * np.arange(24) / 12)
        with tempfile.TemporaryDirectory() as folder:
            months(f"{folder}/reference.nc", 23.0 + season)
            months(f"{folder}/model.nc", 20.0 + season)
            pathlib.Path(folder, "variable.txt").write_text("mrsos")
            done = subprocess.run([interpreter(), ilamb3_side.__file__, folder], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            scores = json.loads(pathlib.Path(folder, "scores.json").read_text())["scores"]
        self.assertAlmostEqual(scores["Bias Score"], float(np.exp(-3 / season.std())), delta=0.005)
        self.assertAlmostEqual(scores["RMSE Score"], 1.0, places=6)

    def test_ilamb3_has_its_xarray_and_the_rest_from_the_notebook(self):
        code = "import ilamb3, xarray, numpy; print(xarray.__file__, numpy.__file__)"
        done = subprocess.run([os.environ["ILAMB3_PYTHON"], "-c", code], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        own, shared = done.stdout.split()
        self.assertTrue(own.startswith("/opt/ilamb3/"))
        self.assertTrue(shared.startswith("/srv/venv/"))
        done = subprocess.run(["ilamb", "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        kernels = json.loads(subprocess.run(["jupyter", "kernelspec", "list", "--json"], capture_output=True, text=True, check=True).stdout)
        self.assertEqual(kernels["kernelspecs"]["ilamb3"]["spec"]["argv"][0], "/opt/ilamb3/bin/python")

    def test_ilamb_averages_a_constant_over_the_sphere(self):
        import numpy as np
        from ILAMB.Variable import Variable

        lat, lon = np.arange(-85.0, 90, 10), np.arange(-175.0, 180, 10)
        water = Variable(name="mrsos", unit="kg m-2", data=np.ma.masked_array(np.full((18, 36), 23.0)), lat=lat, lon=lon)
        self.assertAlmostEqual(float(water.integrateInSpace(mean=True).data), 23.0, places=9)
        done = subprocess.run(["ilamb-run", "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_nco_averages_as_e3sm_workflows_do(self):
        import xarray as xr

        with tempfile.TemporaryDirectory() as folder:
            source = months(pathlib.Path(folder) / "in.nc", 21.5)
            subprocess.run(["ncra", "-O", str(source), f"{folder}/mean.nc"], check=True)
            self.assertEqual(float(xr.open_dataset(f"{folder}/mean.nc").mrsos.mean()), 21.5)
            for command in ("ncclimo", "ncremap", "ncks"):
                with self.subTest(command):
                    done = subprocess.run([command, "--version"], capture_output=True, text=True)
                    self.assertIn("NCO", done.stdout + done.stderr)

    def test_the_command_finds_ilamb3(self):
        from vadose.benchmark.engine import interpreter

        self.assertEqual(interpreter(), "/opt/ilamb3/bin/python")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
