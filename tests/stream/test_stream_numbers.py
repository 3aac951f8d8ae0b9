"""Equations, checks and means of sensor streams against numbers from the maker's formulae and from arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import NotFoundError, VadoseInputError
from vadose.stream import aggregate, calibration, checks
from vadose.stream.design import expand, read_design, standard_offset
from vadose.stream.flags import OOB, STREAM_FLAGS

QUARTER = np.timedelta64(15, "m")


def quarters(n, start="2023-03-01"):
    return np.datetime64(start, "us") + np.arange(n) * QUARTER


@pytest.mark.parametrize(
    ("raw", "mineral", "soilless", "permittivity"),
    [(2500, 0.27415, 0.375438, 13.0999), (2200, 0.15778, 0.297561, 7.56677), (3000, 0.46810, 0.548700, 31.7983)],
)
def test_c_t1_7_1_teros_equations_give_the_manuals_numbers(raw, mineral, soilless, permittivity):
    assert calibration.teros_mineral(raw) == pytest.approx(mineral, abs=1e-8)
    assert calibration.teros_soilless(raw) == pytest.approx(soilless, abs=1e-6)
    assert calibration.teros_permittivity(raw) == pytest.approx(permittivity, rel=1e-5)
    assert calibration.teros_mineral(1793.246) == pytest.approx(0, abs=1e-6)


def test_c_t1_7_2_pore_water_conductivity():
    # (80.3 - 0.37*5) * 0.5 / (20 - 4.1) = 78.45 * 0.5 / 15.9
    assert float(calibration.pore_water_conductivity(0.5, 20.0, 25.0)) == pytest.approx(2.46698, abs=5e-6)
    assert np.isnan(calibration.pore_water_conductivity(0.5, 20.0, 25.0, moisture=0.1))
    assert np.isnan(calibration.pore_water_conductivity(0.5, 4.0, 25.0))


def test_formula_of_a_variable_table_equals_the_makers_equation_and_nothing_else_runs():
    f = calibration.formula("(3.879*10^-4) * x - 0.6956")
    assert f(2500.0) == pytest.approx(0.27415, abs=1e-12)
    assert calibration.formula("-x^2 / 4 + 1")(4.0) == -3.0
    for text in ("__import__('os')", "x.real", "abs(x)", "y", "x if x else 1", "x **"):
        with pytest.raises(VadoseInputError, match="formula"):
            calibration.formula(text)


def test_covariance_of_coefficients_gives_the_standard_error():
    row = calibration.Calibration(
        "own", coefficients=(-0.7, 4e-4), covariance=((4e-4, 0.0), (0.0, 1e-10)), residual=0.01
    )
    # sqrt(4e-4 + 2500^2 * 1e-10 + 1e-4)
    assert row.standard_error(np.array([2500.0]))[0] == pytest.approx(np.sqrt(4e-4 + 6.25e-4 + 1e-4), rel=1e-12)
    assert calibration.Calibration("factory", "teros_mineral").standard_error(np.array([2500.0]))[0] == 0.03
    with pytest.raises(VadoseInputError, match="2 x 2"):
        calibration.Calibration("bad", coefficients=(1.0, 2.0), covariance=((1.0,),))


def test_each_value_is_calibrated_with_the_coefficients_of_its_date():
    time = np.array(["2023-03-01T12:00", "2023-03-02T12:00", "2023-03-03T00:00"], "datetime64[us]")
    first = calibration.Calibration("a", "x * 2", valid_through=np.datetime64("2023-03-02", "s"))
    second = calibration.Calibration("b", "x * 3", valid_from=np.datetime64("2023-03-03", "s"))
    value, _ = calibration.apply_dated(np.ones(3), time, [first, second])
    assert value.tolist() == [2.0, 2.0, 3.0]
    with pytest.raises(VadoseInputError, match="two calibrations cover"):
        calibration.apply_dated(np.ones(3), time, [first, calibration.Calibration("c", "x")])


def test_c_t1_7_3_means_leave_out_flagged_values_and_count_both():
    time = np.array(
        [
            "2023-03-01T00:00",
            "2023-03-01T00:02",
            "2023-03-01T00:15",
            "2023-03-01T00:30",
            "2023-03-01T00:45",
            "2023-03-01T00:47",
        ],
        "datetime64[us]",
    )
    value = np.array([1.0, 2.0, np.nan, np.nan, 3.0, 4.0])
    means = aggregate.bin_mean(time, value, np.array([0, 0, 0, 0, 0, 1], bool), step=QUARTER)
    np.testing.assert_array_equal(means.value, [1.5, np.nan, np.nan, 3.0])
    assert means.n_avg.tolist() == [2, 0, 0, 1]
    assert means.n_drop.tolist() == [0, 0, 0, 1]


def test_c_t1_7_4_median_rule():
    # median .200, |x - .2| has median .025, MAD = 1.4826 * .025 = .037065, threshold 8 MAD = .29652
    ramp = np.linspace(0.150, 0.250, 101)
    group = np.zeros(101, int)
    assert not checks.far_from_median(ramp[:, None], group).any()
    assert not checks.far_from_median(np.r_[ramp, 0.2 + 0.29][:, None], np.zeros(102, int)).any()
    spiked = checks.far_from_median(np.r_[ramp, 1.0][:, None], np.zeros(102, int))[:, 0]
    assert spiked.tolist() == [False] * 101 + [True]
    assert not checks.far_from_median(np.r_[ramp[:98], 1.0][:, None], np.zeros(99, int)).any()
    assert not checks.far_from_median(np.r_[np.full(150, 0.2), 1.0][:, None], np.zeros(151, int)).any(), "MAD of zero"


def test_groups_are_rounded_to_the_nearest_month_and_week():
    stamps = np.array(
        ["2023-08-16T11:59", "2023-08-16T12:00", "2023-09-15T23:59", "2023-09-16T00:00"], "datetime64[us]"
    )
    aug, sep, sep2, octo = checks.groups(
        stamps, "month"
    )  # August's middle is the 16th at noon, September's the 16th at 0:00
    assert (sep - aug, sep2 - sep, octo - sep2) == (1, 0, 1)
    days = np.array(
        ["2023-08-06", "2023-08-09T11:59", "2023-08-09T12:00", "2023-08-13"], "datetime64[us]"
    )  # the 6th is a Sunday
    week = checks.groups(days, "week")
    assert (week - week[0]).tolist() == [0, 0, 1, 1]


def test_c_t1_7_7_gaps_up_to_the_limit_are_filled_and_longer_ones_not():
    value = np.arange(20.0)
    value[3:7], value[10:15], value[0], value[-1] = np.nan, np.nan, np.nan, np.nan
    time = quarters(20)
    means = aggregate.bin_mean(time, value, np.zeros(20, bool), step=QUARTER, start=time[0], stop=time[-1])
    filled = aggregate.fill_short_gaps(means, np.timedelta64(1, "h"))
    np.testing.assert_allclose(filled.value[3:7], [3, 4, 5, 6])
    assert np.isnan(filled.value[10:15]).all()
    assert np.isnan(filled.value[[0, -1]]).all(), "ends are never extrapolated"
    assert filled.interpolated.sum() == 4
    assert (filled.n_avg[3:7] == 0).all()


def test_stuck_needs_a_whole_day():
    time = quarters(400)
    value = np.arange(400.0)[:, None].repeat(2, 1)
    value[100:197, 0] = 5.0  # 97 values span 24 h
    value[100:196, 1] = 5.0  # 96 values span 23 h 45
    found = checks.stuck(time, value)
    assert found[:, 0].sum() == 97
    assert not found[:, 1].any()


def test_gap_flag_marks_the_first_value_after_a_silent_day():
    time = quarters(300)
    value = np.ones((300, 1))
    value[50:150] = np.nan
    assert np.flatnonzero(checks.after_gap(time, value)[:, 0]).tolist() == [0, 150]


def test_clock_set_back_marks_both_sides():
    time = quarters(6)[[0, 1, 2, 3, 2, 4]]
    assert checks.clock_set_back(time).tolist() == [False, False, False, True, True, False]
    assert not checks.clock_set_back(quarters(5)).any()


def test_annual_cycle_is_the_median_of_the_season():
    time = pd.date_range("2020-01-01", "2022-12-31", freq="D").to_numpy()
    value = np.sin(2 * np.pi * pd.DatetimeIndex(time).day_of_year.to_numpy() / 365.25)
    holed = value.copy()
    holed[400:430] = np.nan
    cycle = aggregate.annual_cycle(time, holed)
    # 7 one-sided days of the holed year move the middle of 2 x 15 + 7 values by at most 2 days of at most 2 pi / 365.25 each
    assert np.abs(cycle[400:430] - value[400:430]).max() < 2 * 2 * np.pi / 365.25


def test_the_annual_cycle_keeps_times_of_day_apart_and_reaches_over_the_turn_of_the_year():
    """Mornings 1, evenings 3, one morning of a later year 9: the middle of fifteen mornings is 1; where no evening was, there is none."""
    time = pd.date_range("2021-01-01", "2022-12-31 12:00", freq="12h").to_numpy()
    morning = np.arange(time.size) % 2 == 0
    value = np.where(morning, 1.0, 3.0)
    value[time == np.datetime64("2022-01-01")] = 9.0
    summer = (time > np.datetime64("2021-06-01")) & (time < np.datetime64("2021-09-01"))
    value[(summer | (time > np.datetime64("2022-06-01"))) & ~morning] = np.nan
    cycle = aggregate.annual_cycle(time, value)
    assert (cycle[morning] == 1.0).all()
    day = pd.DatetimeIndex(time).day_of_year
    assert (cycle[~morning & (day < 150)] == 3.0).all()
    assert np.isnan(cycle[~morning & (day > 165) & (day < 230)]).all()


def test_plot_means_over_sensors():
    rows = pd.DataFrame(
        {
            "site": "S",
            "plot": "P",
            "sensor": ["a", "b"],
            "variable": "v",
            "time": [quarters(1)[0]] * 2,
            "value": [0.2, 0.4],
        }
    )
    out = aggregate.plot_means(rows)
    assert out["value"][0] == pytest.approx(0.3)
    assert out["spread"][0] == pytest.approx(np.sqrt(0.02))
    assert out["sensors"][0] == 2


def test_braces_stand_for_names():
    assert expand("T({1:3},2)") == ["T(1,2)", "T(2,2)", "T(3,2)"]
    assert expand("0{1,2,5}D") == ["01D", "02D", "05D"]
    assert expand("R({1:2},{1:2})") == ["R(1,1)", "R(1,2)", "R(2,1)", "R(2,2)"]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Vienna"])
def test_zones_with_daylight_saving_time_are_refused(zone):
    with pytest.raises(VadoseInputError, match="Etc/GMT"):
        standard_offset(zone)
    assert standard_offset("Etc/GMT+5") == -5 * 3600


def test_real_design_table_is_read(shared_data):
    design = read_design(shared_data / "compass_fme" / "metadata")
    links = design.of("Compass_PTR_TR_312", "TerosTableB")
    assert links["TerosB(1,1)"][0].variable == "soil-vwc-10cm"
    assert links["TerosB(6,3)"][0].variable == "soil-EC-30cm"
    assert design.variables["soil-vwc-30cm"].max_gap == np.timedelta64(7200, "s")
    assert design.variables["soil-EC-10cm"].grouping == ""
    assert design.offset("PTR") == -18000


def _tables(folder, **texts):
    from vadose.stream.network import write_design

    write_design(folder, 1, 1)
    for name, change in texts.items():
        path = folder / f"{name}.csv"
        path.write_text(change(path.read_text()))
    return folder


def test_overlapping_rows_missing_units_and_sites_are_errors(tmp_path):
    double = 'Net_S01_P1,TerosTableA,"TerosA(1,1)",S01,P1,TEROS12,A,99,,,soil-vwc-10cm,\n'
    with pytest.raises(VadoseInputError, match="already has a row"):
        read_design(_tables(tmp_path / "a", design_table=lambda t: t + double))
    design = read_design(
        _tables(tmp_path / "b", variables_metadata=lambda t: "\n".join(x for x in t.splitlines() if "soil-EC" not in x))
    )
    with pytest.raises(VadoseInputError, match="no row"):
        design.variable("soil-EC-10cm")
    design = read_design(_tables(tmp_path / "c", timezones=lambda t: t.splitlines()[0] + "\n"))
    with pytest.raises(VadoseInputError, match="time-zone table"):
        design.offset("S01")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("variables_metadata", "research_name,low_bound\nsoil-vwc-10cm,zero\n", "line 2: 'zero' is not a number"),
        ("variables_metadata", "name,low_bound\nsoil-vwc-10cm,0\n", "no column research_name; there are name"),
        ("timezones", "Site,zone\nS01,Etc/GMT+5\n", "no column Datalogger_time_zone"),
        ("calibrations", 'sensor,research_name,coefficients\na,b,"1; 2"\n', "is not a list such as"),
        ("calibrations", "Sensor,research_name,coefficients\na,b,\n", "no column sensor"),
        ("calibrations", 'sensor,research_name,coefficients\na,b,"[[1], 2]"\n', "are not one list such as"),
        ("calibrations", 'sensor,research_name,coefficients\na,b,"[""one""]"\n', "is not a list of numbers"),
        ("calibrations", 'sensor,research_name,coefficients,covariance\na,b,"[1,2]","[1,2]"\n', "not a square list"),
        (
            "qaqc_table",
            "variable,time_grouping,outlier_detection\nsoil-vwc-10cm,,MAD\n",
            "time_grouping '': write 1 month",
        ),
        ("qaqc_table", "variable,outlier_detection\nsoil-vwc-10cm,MAD\n", "no column time_grouping"),
        ("qaqc_table", "variable,max_interp\nsoil-vwc-10cm,a while\n", "max_interp 'a while': write a stretch"),
        ("out_of_service", "Site,oos_begin\nS01,2023-01-01\n", "no column oos_end"),
        ("out_of_service", "Site,oos_begin,oos_end\nS01,2023-01-01,soon\n", "'soon' is not a date"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(tmp_path, name, text, words):
    folder = _tables(tmp_path)
    (folder / f"{name}.csv").write_text(text)
    with pytest.raises(VadoseInputError, match=rf"{name}\.csv line 2: .*{words.removeprefix('line 2: ')}"):
        read_design(folder)


def test_tables_as_spreadsheets_save_them_are_read(tmp_path):
    """Semicolons, Latin-1, Windows line ends and a byte order mark say the same."""
    plain = read_design(_tables(tmp_path / "a"))
    folder = _tables(tmp_path / "b", variables_metadata=lambda t: t.replace("at 10cm", "at 10cm, °"))
    text = (folder / "variables_metadata.csv").read_text().replace("10cm, °", "10cm °")
    (folder / "variables_metadata.csv").write_bytes(text.replace(",", ";").replace("\n", "\r\n").encode("latin-1"))
    (folder / "timezones.csv").write_bytes(b"\xef\xbb\xbf" + (folder / "timezones.csv").read_bytes())
    saved = read_design(folder)
    assert saved.offsets == plain.offsets
    assert saved.variables["soil-temp-10cm"].description.endswith("°")
    assert {k: (v.units, v.low, v.high) for k, v in saved.variables.items()} == {
        k: (v.units, v.low, v.high) for k, v in plain.variables.items()
    }


def test_tables_that_are_missing_are_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"no design_table\.csv.*vadose stream generate"):
        read_design(tmp_path)
    _tables(tmp_path)
    (tmp_path / "variables_metadata.csv").unlink()
    with pytest.raises(NotFoundError, match=r"no variables_metadata\.csv"):
        read_design(tmp_path)


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=120, max_size=160), st.floats(-100, 100), st.floats(0.5, 20))
def test_median_rule_does_not_depend_on_offset_and_scale(values, offset, scale):
    x = np.array(values)[:, None]
    group = np.zeros(len(values), int)
    mad = np.median(np.abs(x - np.median(x)))
    edge = np.abs(np.abs(x - np.median(x)) - 8 * 1.4826 * mad)
    if mad > 1e-3 and edge.min() > 1e-6:
        np.testing.assert_array_equal(
            checks.far_from_median(x, group), checks.far_from_median(x * scale + offset, group)
        )


def test_flag_bits_are_what_the_table_says():
    assert STREAM_FLAGS.decode(OOB) == ("F_OOB",)
    assert len(STREAM_FLAGS.rows) == 11
