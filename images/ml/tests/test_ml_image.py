"""Run inside the image: `images/test ml`."""

from __future__ import annotations

import importlib
import sys
import unittest


class Learning(unittest.TestCase):
    def test_the_libraries_import_beside_vadose(self):
        for name in ("torch", "catboost", "shap", "skops", "safetensors", "vadose.learn"):
            with self.subTest(name):
                importlib.import_module(name)

    def test_a_network_learns_a_line(self):
        """Least squares by gradient: y = 2 x + 1 without noise, whatever device there is."""
        import torch

        torch.manual_seed(0)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        x = torch.linspace(-1, 1, 200, device=device)[:, None]
        model = torch.nn.Linear(1, 1).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), 2 * x + 1).backward()
            optimizer.step()
        self.assertAlmostEqual(float(model.weight.detach()), 2.0, places=3)
        self.assertAlmostEqual(float(model.bias.detach()), 1.0, places=3)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
