"""Relationships of a page, by region: curves with intervals, scores, and the interaction of two drivers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from vadose.benchmark.cells import Cells, meet, space
from vadose.benchmark.compare import blocks_of
from vadose.benchmark.recipe import Recipe, Relation
from vadose.benchmark.records import Record
from vadose.benchmark.regions import Inside
from vadose.benchmark.relationship import Samples, interact, partial_correlation, relate, samples
from vadose.benchmark.state import MONTHS, common_months, measure
from vadose.errors import TooFewSamplesError

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
LEAST = 50


class _Side:
    """Mean annual cycles of driver, response and a second driver of one side, on its own cells."""

    def __init__(
        self, driver: xr.DataArray, response: xr.DataArray, second: xr.DataArray | None, recipe: Recipe
    ) -> None:
        self.cells = meet(driver, response)
        axis = common_months(driver, response, period=recipe.period, climatology=True)
        state = measure(driver, response, self.cells, axis)
        known = state.weight > 0
        self.driver, self.response = (np.where(known, state.cycle[k], np.nan) for k in (0, 1))
        self.places = int(np.prod([driver.sizes[d] for d in space(driver)]))
        self.second: np.ndarray | None = None
        if second is not None:
            other = meet(driver, second)
            if other.size == self.cells.size:
                two = measure(
                    driver, second, other, common_months(driver, second, period=recipe.period, climatology=True)
                )
                self.second = np.where(two.weight > 0, two.cycle[1], np.nan)

    def samples(self, inside: Inside) -> tuple[Samples, np.ndarray]:
        here = np.asarray(inside(self.cells.lat, self.cells.lon), bool)
        block = np.zeros(self.cells.size, int)
        if here.any():
            block = blocks_of(self.cells, here)
        return samples(self.driver, self.response, self.cells.weight, block, here), here

    def keep(self, other: _Side, pairs: Cells) -> None:
        """Leave out the cells and months of the mean year that `other` has not; `pairs` says where the two drivers meet, `other` first."""
        known = np.isfinite(other.driver) & np.isfinite(other.response)
        theirs = np.zeros((other.places, MONTHS), bool)
        np.logical_or.at(theirs, other.cells.reference, known.T)
        met = (pairs.reference >= 0) & (pairs.other >= 0)
        here = np.zeros((self.places, MONTHS), bool)
        np.logical_or.at(here, pairs.other[met], theirs[pairs.reference[met]])
        self.driver = np.where(here[self.cells.reference].T, self.driver, np.nan)


def relation_rows(
    relation: Relation,
    variable: str,
    reference: tuple[Record, Record],
    model: tuple[Record, Record],
    second: tuple[Record, Record] | None,
    inside: Mapping[str, Inside],
    recipe: Recipe,
) -> Frames:
    """Scores, curves and interactions by region; the pairs are (page's variable, related one).

    Each side keeps its own cells; of the model those cells and months of the mean year count that the reference has.
    Raises TooFewSamplesError where no region has enough samples.
    """
    order = (0, 1) if relation.role == "response" else (1, 0)
    names = (variable, relation.variable) if relation.role == "response" else (relation.variable, variable)
    sides = [
        _Side(pair[order[0]].values, pair[order[1]].values, None if second is None else second[k].values, recipe)
        for k, pair in enumerate((reference, model))
    ]
    sides[1].keep(sides[0], meet(reference[order[0]].values, model[order[0]].values))
    units = [str(reference[k].values.attrs.get("units", "1")) for k in order]
    scores, curves, interactions = [], [], []
    for region, function in inside.items():
        (a, here_a), (b, here_b) = (s.samples(function) for s in sides)
        if min(a.driver.size, b.driver.size) < LEAST:
            continue
        found = relate(a, b, draws=max(recipe.draws, 20))
        label = f"{names[1]} by {names[0]}"
        scores += [
            _row(region, f"{label}: curve", found.score, b.driver.size, found.score_low, found.score_high),
            _row(
                region,
                f"{label}: distribution",
                found.hellinger,
                b.driver.size,
                found.hellinger_low,
                found.hellinger_high,
            ),
        ]
        for k, source in enumerate(("reference", "model")):
            curves.append(
                pd.DataFrame(
                    {
                        "region": region,
                        "relation": label,
                        "source": source,
                        "driver": found.centers,
                        "response": found.curve[k],
                        "low": found.low[k],
                        "high": found.high[k],
                        "share": found.share[k],
                        "driver_units": units[0],
                        "response_units": units[1],
                    }
                )
            )
        for source, side, here in (("reference", sides[0], here_a), ("model", sides[1], here_b)):
            if side.second is not None and relation.second:
                interactions += _interaction(region, label, relation.second, source, side, here)
    if not scores:
        raise TooFewSamplesError(f"no region has {LEAST} samples (a cell and a month of the mean year) on both sides")
    frames = [
        pd.DataFrame(scores, columns=list(_row("", "", 0.0, 0))),
        pd.concat(curves, ignore_index=True),
        pd.DataFrame(interactions),
    ]
    return frames[0], frames[1], frames[2]


def _interaction(region, label, second, source, side, here):
    use = np.broadcast_to(here[None, :], side.driver.shape)
    weight = np.broadcast_to(side.cells.weight, side.driver.shape)[use]
    x, z, y = side.driver[use], side.second[use], side.response[use]
    try:
        found = interact(x, z, y, weight)
    except TooFewSamplesError:
        return []
    return [
        {
            "region": region, "relation": label, "second": second, "source": source, "explained": found.explained, "interaction": found.interaction,
            "partial_correlation": partial_correlation(x, y, z[:, None]), "n": int(np.isfinite(x * y * z).sum()),
        }
    ]  # fmt: skip


def _row(region, statistic, value, n, low=np.nan, high=np.nan):
    return {
        "region": region,
        "kind": "relationship",
        "statistic": statistic,
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "units": "1",
    }
