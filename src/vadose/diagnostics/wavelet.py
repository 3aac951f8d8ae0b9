"""At which time scales does soil moisture vary? Morlet wavelet spectra with a red-noise level (M-T1.3).

Torrence & Compo 1998, doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2; w0 = 6. Power is unrectified |W|^2: a sinusoid peaks
at its own period. `rectified=True` divides by scale (Liu et al. 2007, doi:10.1175/2007JTECHO511.1), which makes areas comparable.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy import stats

from vadose import cf
from vadose.errors import VadoseInputError

W0 = 6.0
#: Fourier period of a scale, about 1.033.
FOURIER_FACTOR = 4 * np.pi / (W0 + np.sqrt(2 + W0**2))
#: Decorrelation of the Morlet wavelet: degrees of freedom of a time mean.
DECORRELATION = 2.32
MISSING = 0.25


def default_periods(n: int, dt: float = 1.0, *, dj: float = 0.125) -> np.ndarray:
    """Fourier periods of the scales 2 dt 2^(j dj) up to a third of the record."""
    count = int(np.floor(np.log2(n * dt / (3 * FOURIER_FACTOR) / (2 * dt)) / dj)) + 1
    return 2 * dt * 2.0 ** (dj * np.arange(max(count, 1))) * FOURIER_FACTOR


def transform(x: np.ndarray, periods: np.ndarray, dt: float = 1.0) -> np.ndarray:
    """Complex wavelet coefficients (periods, n) of a series without gaps; the record is taken as circular.

    W_n(s) = sum_k X_k conj(psi(s w_k)) exp(i w_k n dt), psi(s w) = pi^-1/4 sqrt(2 pi s / dt) H(w) exp(-(s w - 6)^2 / 2).
    """
    n = x.size
    omega = 2 * np.pi * np.fft.fftfreq(n, dt)
    scales = np.asarray(periods, float)[:, None] / FOURIER_FACTOR
    psi = np.pi**-0.25 * np.sqrt(2 * np.pi * scales / dt) * (omega > 0) * np.exp(-0.5 * (scales * omega - W0) ** 2)
    return np.fft.ifft(np.fft.fft(x) * psi, axis=1)


def red_noise(alpha, periods, dt: float = 1.0):
    """Expected power of an AR(1) process of unit variance at each period: (1 - a^2) / (1 + a^2 - 2 a cos(2 pi dt / period))."""
    return (1 - alpha**2) / (1 + alpha**2 - 2 * alpha * np.cos(2 * np.pi * dt / periods))


def _prepare(row):
    """Standardized series with gaps bridged, its lag-1 correlation, or nothing where too much is missing."""
    good = np.isfinite(row)
    if good.mean() < 1 - MISSING or good.sum() < 32:
        return None
    index = np.arange(row.size)
    x = np.interp(index, index[good], row[good])
    sd = x.std()
    if sd <= 1e-10 * np.abs(x).max():  # a constant and its rounding
        return None
    x = (x - x.mean()) / sd
    return x, float(np.clip((x[:-1] * x[1:]).mean() + 1 / x.size, 0.0, 0.99))


def wavelet_spectrum(
    series: xr.DataArray,
    *,
    periods: np.ndarray | None = None,
    dt: float = 1.0,
    rectified: bool = False,
    level: float = 0.95,
    padded: bool = True,
    dim: str = "time",
) -> xr.Dataset:
    """Wavelet power of evenly spaced series, standardized first.

    Parameters
    ----------
    series : (…, time), lazy or not; gaps of up to a quarter of the record are bridged by straight lines, with more the result is NaN.
    periods : Fourier periods in units of `dt`'s unit; default an eighth of an octave apart.
    dt : sampling step (1 day).
    padded : zeros behind the record keep its end from its beginning.

    Returns
    -------
    `power` (…, period, time), `significance` (…, period): the power that red noise exceeds with probability 1 - level at one
    time; `global_power` and `global_significance` (…, period), means over time and their level; `cone` (time): longest period
    that the record's edges do not reach; `lag_one`.
    """
    if dim not in series.dims:
        raise VadoseInputError(f"no dimension {dim!r}; the series has {series.dims}")
    n = series.sizes[dim]
    if n < 32:
        raise VadoseInputError(f"a wavelet spectrum needs 32 samples or more, got {n}")
    chosen = default_periods(n, dt) if periods is None else np.asarray(periods, float)
    length = int(2 ** np.ceil(np.log2(n))) if padded else n
    divide = (chosen / FOURIER_FACTOR / dt)[:, None] if rectified else 1.0

    def kernel(values):
        flat = values.reshape(-1, n)
        power = np.full((flat.shape[0], chosen.size, n), np.nan)
        memory = np.full(flat.shape[0], np.nan)
        for k, row in enumerate(flat):
            ready = _prepare(row)
            if ready is None:
                continue
            x, memory[k] = ready
            power[k] = np.abs(transform(np.pad(x, (0, length - n)), chosen, dt)[:, :n]) ** 2 / divide
        return power.reshape(*values.shape[:-1], chosen.size, n), memory.reshape(values.shape[:-1])

    data = series.chunk({dim: -1}) if series.chunks is not None else series
    power, memory = xr.apply_ufunc(
        kernel,
        data,
        input_core_dims=[[dim]],
        output_core_dims=[["period", dim], []],
        dask="parallelized",
        output_dtypes=[float, float],
        dask_gufunc_kwargs={"output_sizes": {"period": chosen.size}},
    )
    period = xr.DataArray(chosen, dims="period", coords={"period": chosen})
    background = red_noise(memory, period, dt) / (xr.DataArray(np.ravel(divide), dims="period") if rectified else 1.0)
    freedom = 2 * np.sqrt(1 + (n * dt / (DECORRELATION * period / FOURIER_FACTOR)) ** 2)
    edge = np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) * dt
    out = xr.Dataset(
        {
            "power": power.assign_coords(period=chosen),
            "significance": background * stats.chi2.ppf(level, 2) / 2,
            "global_power": power.assign_coords(period=chosen).mean(dim),
            "global_significance": background * (stats.chi2.ppf(level, freedom) / freedom),
            "cone": (dim, edge * FOURIER_FACTOR / np.sqrt(2)),
            "lag_one": memory,
        }
    )
    out["period"].attrs = {"long_name": "Fourier period", "units": "d"}
    return cf.provenance(out, method="M-T1.3", references="doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2")


def band_share(spectrum: xr.Dataset, low: float, high: float) -> xr.DataArray:
    """Share of variance between two periods: the global power over scale (so that areas count), summed over octaves."""
    scaled = spectrum.global_power / spectrum.period
    inside = (spectrum.period >= low) & (spectrum.period < high)
    return scaled.where(inside, 0.0).sum("period") / scaled.sum("period")
