"""Run inside the image, with its own Python and nothing mounted but this folder: `images/test notebook`."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

#: What a notebook of this platform may import without asking.
PROMISED = [
    "vadose", "xarray", "dask", "distributed", "dask_gateway", "zarr", "fsspec", "s3fs", "intake", "intake_stac",
    "pystac_client", "kerchunk", "virtualizarr", "icechunk", "earthaccess", "cartopy", "numba", "sklearn", "pyarrow",
    "matplotlib", "ipympl", "jupyterlab", "jupyterhub", "nbgitpuller", "jupyter_server_proxy",
]  # fmt: skip


class Contents(unittest.TestCase):
    def test_everything_promised_imports(self):
        for name in PROMISED:
            with self.subTest(name):
                importlib.import_module(name)

    def test_nobody_is_root(self):
        self.assertEqual(os.getuid(), int(os.environ.get("NB_UID", "1000")))
        self.assertEqual(pwd.getpwuid(os.getuid()).pw_name, "jovyan")
        self.assertTrue(os.access(os.environ["HOME"], os.W_OK))

    def test_the_bill_of_materials_lists_what_is_installed(self):
        bill = json.loads(pathlib.Path("/opt/vadose/sbom.cdx.json").read_text())
        names = {c["name"]: c["version"] for c in bill["components"]}
        self.assertEqual(names["xarray"], importlib.import_module("xarray").__version__)
        self.assertIn("python3.11-minimal", names)

    def test_no_compiler_and_no_cache_take_space(self):
        self.assertIsNone(shutil.which("gcc"))
        self.assertFalse(pathlib.Path("/home/jovyan/.cache/pip").exists())
        self.assertEqual(list(pathlib.Path("/var/lib/apt/lists").glob("*Packages*")), [])


class Numbers(unittest.TestCase):
    def test_triple_collocation_gives_the_published_arithmetic(self):
        """Three products with error variances 0.0004, 0.0009 and 0.0016 and scales 1, 0.8 and 1.2 (docs/methods: C-X7.1)."""
        import numpy as np
        import xarray as xr

        from vadose import metrics

        rng = np.random.default_rng(7)
        n, truth = 200_000, rng.normal(0, 0.05, 200_000)
        products = metrics.stack(
            *(xr.DataArray(scale * truth + rng.normal(0, sd, n), dims="time") for scale, sd in ((1.0, 0.02), (0.8, 0.03), (1.2, 0.04))),
            names=["x", "y", "z"],
        )
        got = metrics.triple_collocation(metrics.moments(products))
        for name, sd in (("x", 0.02), ("y", 0.03), ("z", 0.04)):
            self.assertAlmostEqual(float(got.error_sd.sel(product=name)), sd, delta=0.001)


    def test_requirements_of_every_package_are_met(self):
        done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_versions_are_those_of_the_lock(self):
        from importlib.metadata import version

        lock = pathlib.Path("/opt/vadose/requirements.txt").read_text()
        pins = re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\\n]+)", lock, re.MULTILINE)
        self.assertGreater(len(pins), 100)
        self.assertEqual([(name, pin, version(name)) for name, pin in pins if version(name) != pin], [])

    def test_inverse_of_a_hilbert_matrix_is_a_table_of_integers(self):
        """LAPACK after the libraries lost their symbols."""
        import numpy as np
        import scipy.linalg

        hilbert = 1.0 / (np.arange(3)[:, None] + np.arange(3) + 1)
        np.testing.assert_allclose(scipy.linalg.inv(hilbert), [[9, -36, 30], [-36, 192, -180], [30, -180, 180]], rtol=1e-10)

    def test_numbers_survive_netcdf_hdf5_zarr_and_parquet(self):
        import numpy as np
        import pandas as pd
        import xarray as xr

        water = xr.Dataset({"sm": ("time", np.linspace(0.05, 0.45, 1000))}, {"time": np.arange(1000)})
        with tempfile.TemporaryDirectory() as folder:
            for engine in ("netcdf4", "h5netcdf"):
                water.to_netcdf(f"{folder}/{engine}.nc", engine=engine)
                with xr.open_dataset(f"{folder}/{engine}.nc", engine=engine) as back:
                    xr.testing.assert_identical(back.load(), water)
            water.to_zarr(f"{folder}/c.zarr")
            xr.testing.assert_identical(xr.open_zarr(f"{folder}/c.zarr").load(), water)
            table = water.to_dataframe()
            table.to_parquet(f"{folder}/d.parquet")
            pd.testing.assert_frame_equal(pd.read_parquet(f"{folder}/d.parquet"), table)


class Platform(unittest.TestCase):
    def test_doctor_finds_nothing_broken(self):
        done = subprocess.run(["vadose", "doctor", "--json"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertGreater(len(json.loads(done.stdout)), 4)

    def test_workers_have_the_versions_of_the_client(self):
        from vadose.access import cluster

        with cluster.connect(1) as running:
            running.client.wait_for_workers(1)
            versions = running.client.get_versions(check=True)
            self.assertEqual(len(versions["workers"]), 1)

    def test_scheduler_and_worker_start_by_the_commands_that_the_gateway_uses(self):
        for command in (["dask", "scheduler", "--version"], ["dask", "worker", "--version"]):
            with self.subTest(command):
                done = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_curated_notebook_runs_from_end_to_end_offline(self):
        import nbclient
        import nbformat

        source = pathlib.Path(os.environ["VADOSE_NOTEBOOKS"]) / "00-start" / "first-look.ipynb"
        notebook = nbformat.read(source, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
        text = "".join(o.get("text", "") for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
        self.assertIn("ALL DONE", text)
        pictures = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})]
        self.assertTrue(pictures)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
