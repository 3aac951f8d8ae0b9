"""Run inside the image: `images/test benchmark`. Every tool is run on numbers whose answer is known, not only imported."""

from __future__ import annotations

import importlib
import pathlib
import subprocess
import sys
import tempfile
import unittest


def months(path, value, name="mrsos"):
    """Two years of one constant on a coarse globe, as CMIP6 writes it."""
    import cftime
    import numpy as np
    import xarray as xr

    time = [cftime.DatetimeNoLeap(2001 + k // 12, k % 12 + 1, 15) for k in range(24)]
    lat, lon = np.arange(-85.0, 90, 10), np.arange(5.0, 360, 10)
    field = np.full((24, lat.size, lon.size), value, dtype="float32")
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
        for name in ("ilamb3", "ILAMB.Variable", "mpi4py.MPI", "uxarray", "pytesmo", "xskillscore", "intake_esgf", "nco", "vadose.benchmark"):
            with self.subTest(name):
                importlib.import_module(name)

    def test_ilamb3_averages_a_constant_over_the_sphere(self):
        import xarray as xr
        from ilamb3 import dataset

        with tempfile.TemporaryDirectory() as folder, xr.open_dataset(months(pathlib.Path(folder) / "model.nc", 23.0)) as model:
            mean = dataset.integrate_space(model, "mrsos", mean=True)
        self.assertEqual(mean.shape, (24,))
        self.assertLess(float(abs(mean - 23.0).max()), 1e-4)

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

        self.assertEqual(interpreter(), sys.executable)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
