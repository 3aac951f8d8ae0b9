"""Processes and retrieval: flash droughts, microwave emission, spectra. The peer is the plain numpy formulation a user would write."""

from __future__ import annotations

import numpy as np

from benchmarks.harness import Job

CELLS, YEARS = 4000, 30  # a block of a 0.25 degree grid; cells do not know each other, so time grows with their number
EMISSION = 100_000_000
EMISSION_CHUNK = 1_000_000
PIXELS, BANDS = 1_000_000, 40


# --- flash droughts ----------------------------------------------------------------------------------------------------------


def drought_data():
    """Daily moisture (cells, days) without leap days: red noise on a season."""
    rng = np.random.default_rng(0)
    days = YEARS * 365
    values = rng.normal(0, 0.006, (CELLS, days)).astype("float32")
    for t in range(1, days):
        values[:, t] += 0.97 * values[:, t - 1]
    return (values + 0.25 + 0.05 * np.cos(2 * np.pi * np.arange(days) / 365)).astype("float32")


def _array(values):
    import pandas as pd
    import xarray as xr

    time = pd.date_range("1991-01-01", "2020-12-31")
    time = time[~((time.month == 2) & (time.day == 29))]
    return xr.DataArray(values, dims=("cell", "time"), coords={"time": time}).transpose("time", "cell")


def drought_ours(values):
    from vadose.diagnostics.drought import decline, drop, volatility
    from vadose.diagnostics.pentads import pentad_percentile, to_pentads

    moisture = _array(values).chunk(cell=500)
    percentile = pentad_percentile(to_pentads(moisture)).percentile
    found = {"drop": drop(percentile), "decline": decline(percentile), "volatility": volatility(moisture)}
    import dask

    parts = {name: (e["count"], e["severity"].sum("event")) for name, e in found.items()}
    (done,) = dask.compute(parts, scheduler="threads", num_workers=2)
    return {name: (count.values, severity.values) for name, (count, severity) in done.items()}


def drought_warm(values):
    drought_ours(values[:4])


def drought_theirs(values):
    cells = values.shape[0]
    pentads = values.astype(float).reshape(cells, YEARS, 73, 5).mean(-1)
    percentile = np.empty_like(pentads)
    for p in range(73):
        pool = pentads[:, :, np.arange(p - 2, p + 3) % 73].reshape(cells, -1)
        now = pentads[:, :, p]
        below = (pool[:, None, :] < now[:, :, None]).sum(-1)
        equal = (pool[:, None, :] == now[:, :, None]).sum(-1)
        percentile[:, :, p] = 100.0 * (below + 0.5 * (equal + 1)) / (pool.shape[1] + 1)
    series = percentile.reshape(cells, -1)
    out = {name: (np.zeros(cells, int), np.zeros(cells)) for name in ("drop", "decline", "volatility")}
    for c in range(cells):
        for name, rules in (("drop", _drops), ("decline", _declines)):
            for s, e in rules(series[c].tolist()):
                out[name][0][c] += 1
                out[name][1][c] += np.maximum(40.0 - series[c, s : e + 1], 0).sum()
    for start in range(0, cells, 500):
        _volatile(values[start : start + 500], *(a[start : start + 500] for a in out["volatility"]))
    return out


def _volatile(values, count, severity):
    """Five-day mean below twenty-day mean and below the 20th percentile of the calendar day, for twenty days or more."""
    cells, days = values.shape
    doy = np.tile(np.delete(np.arange(1, 367), 59), YEARS)
    usual = np.empty((cells, 366))
    for d in range(1, 367):
        far = np.abs(doy - d)
        usual[:, d - 1] = np.quantile(values[:, np.minimum(far, 366 - far) <= 15], 0.2, axis=1, method="weibull")
    threshold = usual[:, doy - 1]
    total = np.cumsum(values, axis=1, dtype=float)
    total = np.concatenate([np.zeros((cells, 1)), total], axis=1)
    short, long = (total[:, n:] - total[:, :-n] for n in (5, 20))
    below = np.zeros((cells, days), bool)
    below[:, 19:] = (short[:, 15:] / 5 < long / 20) & (values < threshold)[:, 19:]
    edges = np.diff(below.astype(np.int8), axis=1, prepend=0, append=0)
    for c in range(cells):
        runs: list[list[int]] = []
        starts, ends = np.flatnonzero(edges[c] == 1).tolist(), (np.flatnonzero(edges[c] == -1) - 1).tolist()
        for s, e in zip(starts, ends, strict=True):
            if e - s + 1 < 20:
                continue
            if runs and s - runs[-1][1] <= 15:
                runs[-1][1] = e
            else:
                runs.append([s, e])
        kept: dict[int, int] = {}
        for s, e in runs:
            kept[s // 365] = kept.get(s // 365, 0) + 1
            if kept[s // 365] <= 6:
                count[c] += 1
                severity[c] += np.maximum(threshold[c, s : e + 1] - values[c, s : e + 1], 0).sum()


def _drops(p):
    """From 40 or more to 20 or less within four pentads, over after two above 20; for one cell, step by step."""
    events, above, onset, calm, n = [], -1, -1, 0, len(p)
    for j in range(n):
        if onset < 0:
            if p[j] >= 40:
                above = j
            elif p[j] <= 20 and above >= 0:
                if j - above <= 4:
                    onset, calm = above, 0
                above = -1
            continue
        calm = calm + 1 if p[j] > 20 else 0
        if calm == 2 or j == n - 1:
            events.append((onset, j - calm))
            above, onset = (j if p[j] >= 40 else -1), -1
    return events


def _declines(p):
    """The rules of the definition for one cell, step by step."""
    events, state, s, m, n = [], 0, 0, 0.0, len(p)

    def close(end):
        part = p[s : end + 1]
        if len(part) >= 4 and min(part) <= 20 and sum(x < 20 for x in part) >= 3:
            events.append((s, end))

    for j in range(1, n):
        if state == 0:
            if p[j - 1] >= 40 > p[j]:
                state, s, m = 1, j, p[j]
            continue
        if state == 1:
            if p[j] >= 40:
                close(j - 1)
                state = 0
                continue
            if 40 - p[j] >= 5 * (j - s + 1):
                if m <= 20 and p[j] >= p[j - 1]:
                    state = 2
                else:
                    m = min(m, p[j])
                    continue
            elif m <= 20:
                state = 2
            else:
                state = 0
                continue
        if p[j] > 20:
            close(j - 1)
            state = 0
    if state:
        close(n - 1)
    return events


def drought_agreement(ours, theirs):
    counts = ", ".join(f"{name} {int(ours[name][0].sum())} and {int(theirs[name][0].sum())}" for name in ours)
    worst = max(np.abs(ours[name][1] - theirs[name][1]).max() for name in ours)
    return f"events: {counts}; largest difference of severity {worst:.1e}"


# --- emission ----------------------------------------------------------------------------------------------------------------


def emission_data():
    rng = np.random.default_rng(0)
    return {
        "moisture": rng.uniform(0.03, 0.5, EMISSION),
        "clay": rng.uniform(0.05, 0.5, EMISSION),
        "temperature": rng.uniform(275, 305, EMISSION),
        "tau": rng.uniform(0, 0.6, EMISSION),
    }


def emission_ours(data):
    import xarray as xr

    from vadose.physics.emission import brightness_temperature

    units = {"moisture": "m3 m-3", "clay": "1", "temperature": "K", "tau": "1"}
    a = {k: xr.DataArray(v, dims="cell", attrs={"units": units[k]}) for k, v in data.items()}
    a = {
        k: v.chunk(cell=EMISSION_CHUNK, token=k) for k, v in a.items()
    }  # a name of its own: values are not hashed for one
    out = brightness_temperature(a["moisture"], a["clay"], a["temperature"], optical_depth=a["tau"])
    both = out[["brightness_temperature_v", "brightness_temperature_h"]].compute(scheduler="threads", num_workers=2)
    return both.brightness_temperature_v.values[::1000], both.brightness_temperature_h.values[::1000]


def emission_warm(data):
    emission_ours({k: v[:10] for k, v in data.items()})


def emission_theirs(data):
    """The same equations on whole arrays, a block after another because 1e8 cells and their intermediates fill a machine's memory."""
    v, h = np.empty(EMISSION), np.empty(EMISSION)
    for start in range(0, EMISSION, EMISSION_CHUNK):
        part = slice(start, start + EMISSION_CHUNK)
        v[part], h[part] = _emission_block(*(data[k][part] for k in ("moisture", "clay", "temperature", "tau")))
    return v[::1000], h[::1000]


def _emission_block(m, clay, t, tau):
    f, eps0 = 1.41e9, 8.854e-12
    bound = 0.02863 + 0.30673 * clay

    def water(static, relax, sigma):
        x = 2 * np.pi * f * relax
        real = 4.9 + (static - 4.9) / (1 + x * x)
        loss = (static - 4.9) * x / (1 + x * x) + sigma / (2 * np.pi * eps0 * f)
        size = np.hypot(real, loss)
        return np.sqrt((size + real) / 2), np.sqrt((size - real) / 2)

    nb, kb = water(79.8 - 85.4 * clay + 32.7 * clay**2, 1.062e-11 + 3.45e-12 * clay, 0.3112 + 0.467 * clay)
    nu, ku = water(100.0, 8.5e-12, 0.3631 + 1.217 * clay)
    low, high = np.minimum(m, bound), np.maximum(m - bound, 0)
    n = 1.634 - 0.539 * clay + 0.2748 * clay**2 + (nb - 1) * low + (nu - 1) * high
    k = 0.03952 - 0.04038 * clay + kb * low + ku * high
    eps = (n * n - k * k) + 2j * n * k
    c = np.cos(np.deg2rad(40.0))
    q = np.sqrt(eps - (1 - c * c))
    rough = np.exp(-0.15 * c**2)
    gamma = np.exp(-tau / c)
    out = []
    for r in (np.abs((eps * c - q) / (eps * c + q)) ** 2, np.abs((c - q) / (c + q)) ** 2):
        r = r * rough
        out.append(t * (1 - r) * gamma + t * 0.95 * (1 - gamma) * (1 + r * gamma))
    return tuple(out)


def emission_agreement(ours, theirs):
    return f"largest difference {max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)):.1e} K"


# --- spectra -----------------------------------------------------------------------------------------------------------------


def spectra_data():
    import xarray as xr

    from vadose.physics import spectra

    nm = np.linspace(1000, 2300, BANDS)
    water = spectra.water_optics(xr.DataArray(nm, dims="wavelength", coords={"wavelength": nm}))
    dry = 0.25 + 0.15 * (nm - 1000) / 1300
    _, through, back = (p.values for p in spectra.film_interface(water))
    rng = np.random.default_rng(0)
    image = np.empty((PIXELS, BANDS), dtype="float32")
    for start in range(0, PIXELS, 50_000):
        n = min(50_000, PIXELS - start)
        length, share = rng.uniform(0.003, 0.03, (n, 1)), rng.uniform(0.3, 0.95, (n, 1))
        u = dry * np.exp(-2 * water.absorption.values * length)
        wet = through * u / (1 - back * u)
        image[start : start + n] = share * wet + (1 - share) * dry + rng.normal(0, 0.002, (n, BANDS))
    return {"nm": nm, "image": image, "dry": dry, "a": water.absorption.values, "through": through, "back": back}


def spectra_ours(data):
    import xarray as xr

    from vadose.physics.spectra_fit import invert_reflectance

    coords = {"wavelength": data["nm"]}
    image = xr.DataArray(data["image"], dims=("pixel", "wavelength"), coords=coords).chunk(pixel=50_000)
    dry = xr.DataArray(data["dry"], dims="wavelength", coords=coords)
    out = invert_reflectance(image, dry, error_floor=0.002, error_rate=0.0)
    return out.water_thickness.compute(scheduler="threads", num_workers=2).values


def spectra_warm(data):
    spectra_ours({**data, "image": data["image"][:10]})


def spectra_theirs(data):
    """Look-up table of 60 x 40, then eight Gauss-Newton steps, all pixels of a block at once."""
    image, dry, a, through, back = (data[k] for k in ("image", "dry", "a", "through", "back"))
    lengths, shares = np.geomspace(0.001, 0.2, 60), np.linspace(0.001, 1.0, 40)

    def wet(length):
        u = dry * np.exp(-2 * a * length)
        return through * u / (1 - back * u), u

    table = np.concatenate([s * wet(length)[0] + (1 - s) * dry for length in lengths for s in shares]).reshape(
        -1, dry.size
    )
    norm = (table**2).sum(1)
    out = np.empty(image.shape[0])
    for start in range(0, image.shape[0], 20_000):
        r = image[start : start + 20_000].astype(float)
        best = (norm[None, :] - 2 * r @ table.T).argmin(1)
        x, s = np.log(lengths[best // 40])[:, None], shares[best % 40][:, None]
        for _ in range(8):
            w, u = wet(np.exp(x))
            e = r - s * w - (1 - s) * dry
            jx = s * through / (1 - back * u) ** 2 * (-2 * a * np.exp(x) * u)
            js = w - dry
            a11, a12, a22 = (jx * jx).sum(1), (jx * js).sum(1), (js * js).sum(1)
            g1, g2 = (jx * e).sum(1), (js * e).sum(1)
            det = a11 * a22 - a12**2
            x = np.clip(x + np.clip((a22 * g1 - a12 * g2) / det, -1, 1)[:, None], np.log(0.001), np.log(0.2))
            s = np.clip(s + ((a11 * g2 - a12 * g1) / det)[:, None], 0.001, 1.0)
        out[start : start + 20_000] = (10 * np.exp(x) * s)[:, 0]
    return out


def spectra_agreement(ours, theirs):
    relative = np.abs(ours / theirs - 1)
    return f"median difference of water thickness {np.median(relative):.1e}, 99 % below {np.quantile(relative, 0.99):.1e} (relative)"


JOBS = (
    Job(
        id="flash-drought", job="flash droughts by three definitions (drop, decline, volatility) from daily moisture",
        size=f"{CELLS} cells x {YEARS} years", peer="numpy, one cell after another for the rules", their_repeats=1, prepare=drought_data,
        ours=drought_ours, theirs=drought_theirs, agreement=drought_agreement, warm=drought_warm, packages=("vadose", "numpy"),
    ),
    Job(
        id="emission", job="L-band brightness temperature, both polarizations (Mironov, tau-omega)", size=f"{EMISSION:.0e} cells",
        peer="numpy", prepare=emission_data, ours=emission_ours, theirs=emission_theirs, agreement=emission_agreement,
        warm=emission_warm, packages=("vadose", "numpy"),
    ),
    Job(
        id="spectra-inversion", job="water film inversion of a reflectance image (MARMIT)", size=f"{PIXELS:.0e} pixels x {BANDS} bands",
        peer="numpy, look-up table and Gauss-Newton in blocks", prepare=spectra_data, ours=spectra_ours, theirs=spectra_theirs,
        agreement=spectra_agreement, warm=spectra_warm, packages=("vadose", "numpy"), their_repeats=1,
    ),
)  # fmt: skip
