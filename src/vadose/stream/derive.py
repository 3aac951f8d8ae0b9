"""From raw counts to values with standard errors and flags: everything that can be computed again at any time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from vadose.errors import VadoseInputError
from vadose.stream import checks
from vadose.stream.calibration import FACTORY_ERROR, apply_dated
from vadose.stream.design import NO_DATA, Design, Link
from vadose.stream.flags import GAP, INTRINSIC, MAD, NODATA, OOB, OOS, RANGE, STUCK
from vadose.stream.grid import Grid

#: No number that stands for "no data" is nearer to zero.
_LEAST = min(abs(number) for number in NO_DATA)


@dataclass(frozen=True, eq=False)
class Layout:
    """What the columns of one stream are: by column the links over time, the site and its clock."""

    logger: str
    table: str
    site: str
    columns: tuple[str, ...]
    links: tuple[tuple[Link, ...], ...]
    offset: int  # seconds that the logger's clock is ahead of UTC
    fingerprint: str

    @property
    def shift(self) -> np.timedelta64:
        """Logger time minus UTC."""
        return np.timedelta64(self.offset, "s")

    def part(self, columns: slice) -> Layout:
        """The same of some of the columns."""
        return replace(self, columns=self.columns[columns], links=self.links[columns])


@lru_cache(maxsize=64)
def _layout(design_key: int, logger: str, table: str) -> Layout | None:
    design = _DESIGNS[design_key]
    columns = design.of(logger, table)
    if not columns:
        return None
    sites = sorted({link.site for links in columns.values() for link in links})
    if len(sites) > 1:
        raise VadoseInputError(f"{logger}, {table} is listed for sites {sites}; one logger stands at one site")
    digest = hashlib.sha256()
    for column, links in columns.items():
        digest.update(repr((column, links)).encode())
        for link in links:
            digest.update(
                repr(
                    (
                        design.variable(link.variable),
                        design.calibration(link),
                        [o for o in design.outages if _concerns(o, link)],
                    )
                ).encode()
            )
    offset = design.offset(sites[0])
    digest.update(str(offset).encode())
    return Layout(logger, table, sites[0], tuple(columns), tuple(columns.values()), offset, digest.hexdigest()[:16])


_DESIGNS: dict[int, Design] = {}


def layout(design: Design, logger: str, table: str) -> Layout | None:
    """The layout of a stream, None when the design table has no row of it. Raises VadoseInputError when a row is incomplete."""
    _DESIGNS[id(design)] = design
    return _layout(id(design), logger, table)


def _concerns(outage, link: Link) -> bool:
    pairs = (
        (outage.site, link.site),
        (outage.plot, link.plot),
        (outage.variable, link.variable),
        (outage.sensor, link.sensor),
    )
    return all(not wanted or wanted == have for wanted, have in pairs)


def links_in_time(links: tuple[Link, ...], local: np.ndarray) -> np.ndarray:
    """Which of a column's links holds at each logger time (position; -1 after the last one ended)."""
    if len(links) == 1 and np.isnat(links[0].valid_through):
        return np.zeros(local.size, np.int64)
    far = np.datetime64("9999-12-31", "us")
    ends = np.array(
        [
            far
            if np.isnat(k.valid_through)
            else (k.valid_through.astype("datetime64[D]") + np.timedelta64(1, "D")).astype("datetime64[us]")
            for k in links
        ]
    )
    at = np.searchsorted(ends, local, side="right")
    return np.where(at < len(links), at, -1)


@dataclass
class Derived:
    """Values, standard errors and flags on a grid; `link`: which of a column's links each value belongs to."""

    value: np.ndarray
    error: np.ndarray
    flag: np.ndarray
    link: np.ndarray


def no_data(raw: np.ndarray) -> np.ndarray:
    """Where a raw value is missing or one of the numbers that loggers write when they have none."""
    out = np.isnan(raw)
    suspect = np.abs(raw) >= _LEAST
    if suspect.any():
        for number in NO_DATA:
            out |= raw == number
    return out


def derive(grid: Grid, plan: Layout, design: Design) -> Derived:
    """Calibrate and check. Flags of a time depend on rows up to a month before and after it."""
    said = no_data(grid.raw) & ~np.isnan(grid.raw)
    raw = np.where(said, np.nan, grid.raw) if said.any() else grid.raw
    local = grid.time + plan.shift
    shape = raw.shape
    value, error = np.full(shape, np.nan, order="F"), np.full(shape, np.nan, np.float32, order="F")
    flag = grid.flag & INTRINSIC
    _mark(flag, np.s_[:], said, NODATA)
    link_at = np.zeros(shape, np.int16, order="F")
    groupings: dict[tuple[str, float], list[int]] = {}
    for k, links in enumerate(plan.links):
        which = links_in_time(links, local)
        link_at[:, k] = which
        for number, link in enumerate(links):
            rows = slice(None) if len(links) == 1 and (which == 0).all() else which == number
            variable = design.variable(link.variable)
            calibrations = design.calibration(link)
            column, beyond = apply_dated(raw[rows, k], local[rows], calibrations)
            value[rows, k] = column
            _mark(flag, (rows, k), beyond, RANGE)
            _mark(flag, (rows, k), checks.outside(column, variable.low, variable.high), OOB)
            error[rows, k] = _error(raw[rows, k], local[rows], calibrations, variable.units)
            for outage in design.outages:
                if _concerns(outage, link):
                    inside = (local[rows] >= outage.start) & (local[rows] <= outage.stop)
                    _mark(flag, (rows, k), inside, OOS)
        variable = design.variable(links[-1].variable)
        if variable.grouping:
            groupings.setdefault((variable.grouping, variable.threshold), []).append(k)
    for (grouping, threshold), columns in groupings.items():
        far = checks.far_from_median(value[:, columns], checks.groups(local, grouping), threshold=threshold)
        _mark(flag, (slice(None), columns), far, MAD)
    _mark(flag, np.s_[:], checks.stuck(grid.time, value) & _may_not_stand_still(plan, design), STUCK)
    _mark(flag, np.s_[:], checks.after_gap(grid.time, value), GAP)
    return Derived(value, error, flag, link_at)


def _mark(flag: np.ndarray, at: Any, where: Any, bit: int) -> None:
    """Set a bit of the flags at `at` where something holds, which is rare."""
    if where.any():
        flag[at] |= where * np.int32(bit)


def _may_not_stand_still(plan: Layout, design: Design) -> np.ndarray:
    """Soil moisture and soil temperature move within a day; rain, counts and voltages may stay where they are."""
    return np.array(
        [
            design.variable(k[-1].variable).grouping in ("month", "week") and k[-1].variable.startswith("soil-")
            for k in plan.links
        ]
    )


def _error(raw, local, calibrations, units):
    if len(calibrations) == 1 and not calibrations[0].covariance:
        row = calibrations[0]
        if np.isnan(row.residual) and units == "m3/m3":
            row = replace(row, residual=FACTORY_ERROR)
        if np.isnan(row.residual) and row.equation != "teros_mineral":
            return np.nan
        return row.standard_error(raw)
    out = np.full(raw.shape, np.nan)
    for row in calibrations:
        here = row.covers(local)
        out[here] = row.standard_error(raw[here])
    return out
