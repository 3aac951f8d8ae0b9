"""Citizens' observations: what they mean, what is refused, what is doubted, who is trusted, what is published."""

from __future__ import annotations

import csv
import datetime
import io

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.cli.stream import command
from vadose.errors import NotFoundError, UnreadableFileError, VadoseInputError
from vadose.stream import citizen, moderation, observers

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
SAID = {**citizen.EXAMPLE, "time": "2026-05-01T10:30"}


def seen(**change):
    return citizen.observation({**SAID, **change}, now=NOW) | {"observer": change.get("observer_id", "meadow-7")}


def test_c_x17_1_weights_become_moisture():
    """150 g wet, 125 g dry, 25 g tin: 25 g of water on 100 g of soil; at 1.3 g cm-3 that is .25 x 1.3 = .325."""
    found = seen(bulk_density="1.3")
    assert found["gravimetric_moisture"] == pytest.approx(0.25)
    assert found["soil_moisture"] == pytest.approx(0.325)
    assert "soil_moisture" not in seen(bulk_density="")


@pytest.mark.parametrize(("word", "share"), [("dry", 0.1), ("slightly moist", 0.35), ("moist", 0.6), ("wet", 0.85), ("saturated", 1.0)])  # fmt: skip
def test_a_feel_is_a_share_of_the_available_water(word, share):
    found = seen(method="feel", feel=word)
    assert (found["relative_wetness"], found["standard_error"]) == (share, 0.15)
    assert "soil_moisture" not in found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"consent": "no"}, "Consent"),
        ({"license": "none"}, "License"),
        ({"method": "guess"}, "Method"),
        ({"wet": ""}, "please fill it in"),
        ({"wet": "heavy"}, "'heavy' is not a number"),
        ({"latitude": "475"}, "not between -90 and 90"),
        ({"depth_to": "1.5"}, "not between 0 and 1"),
        ({"depth_from": "0.2"}, "upper one comes first"),
        ({"wet": "100"}, "The three weights"),
        ({"tin": "125"}, "The three weights"),
        ({"dry": "nan"}, "not between"),
        ({"time": "yesterday"}, "give date and time"),
        ({"time": "2026-06-01T00:11Z"}, "in the future"),
        ({"time": "0001-01-01T00:00+02:00"}, "check the year"),
        ({"bulk_density": "1.6", "wet": "155", "dry": "125"}, "More water than room"),
        ({"method": "sensor", "sensor_model": "X", "reading": "0.6", "bulk_density": "1.6"}, "check the reading"),
        ({"method": "sensor", "reading": "0.2", "sensor_model": ""}, "maker and model"),
        ({"method": "sensor", "sensor_model": "X", "reading": "20"}, "not between 0 and 1"),
        ({"method": "feel"}, "How does it feel"),
    ],
)
def test_what_cannot_be_is_said_in_the_words_of_the_form(change, words):
    with pytest.raises(VadoseInputError, match=words):
        seen(**change)


def test_room_for_water_is_what_the_grains_leave():
    """Bulk density 1.325 leaves 1 - 1.325/2.65 = .5; with the .05 of tolerance .55 is the last that is taken: u = .55/1.325."""
    u = 0.55 / 1.325
    assert seen(bulk_density="1.325", tin="0", dry="100", wet=f"{100 * (1 + u - 1e-6):.5f}")["soil_moisture"] < 0.55
    with pytest.raises(VadoseInputError, match="room"):
        seen(bulk_density="1.325", tin="0", dry="100", wet=f"{100 * (1 + u + 1e-3):.5f}")


def test_the_sea_is_no_place_for_a_sample():
    land = xr.DataArray([[True, False]], dims=("lat", "lon"), coords={"lat": [47.5], "lon": [8.0, 20.0]})
    assert citizen.observation(SAID, now=NOW, land=land)
    assert citizen.observation({**SAID, "longitude": "60"}, now=NOW, land=land), "beyond the mask nothing is known"
    with pytest.raises(VadoseInputError, match="in the sea"):
        citizen.observation({**SAID, "longitude": "19"}, now=NOW, land=land)


def test_c_x17_3_the_same_sample_twice_is_kept_once(tmp_path):
    """Nine minutes and nine meters apart is the same sample; ten of either, another depth, replicate or observer is not."""
    one = seen()
    meter = 1 / 111_195
    again = [dict(one), {**one, "time": "2026-05-01T10:39:00+00:00"}, {**one, "latitude": one["latitude"] + 9 * meter}]
    other = [{**one, "time": "2026-05-01T10:40:00+00:00"}, {**one, "latitude": one["latitude"] + 11 * meter}, {**one, "replicate": 2.0},
             {**one, "observer": "b"}, {**one, "depth_to": 0.1}]  # fmt: skip
    assert citizen.without_repetition([one, *again]) == [one]
    assert citizen.without_repetition([one, *other]) == [one, *other]
    ids = [moderation.keep(tmp_path, o) for o in (one, *again)]
    assert [new for _, new in ids] == [True, False, False, False]
    assert len({i for i, _ in ids}) == 1
    assert len(moderation.kept(tmp_path)) == 1


def test_doubts_are_told_in_words():
    low, high = seen(replicate="1", wet="140"), seen(replicate="2", wet="150")  # .15 x 1.3 and .25 x 1.3: .13 apart
    usual, alone = seen(observer_id="b"), seen(observer_id="c")
    rows = [low, high, usual, alone]
    found = citizen.doubts(rows, expected=np.array([0.195, 0.325, 0.1, 0.325]), spread=np.full(4, 0.05), temperature=np.array([280, 280, 280, 270.0]))  # fmt: skip
    assert ["side by side" in " ".join(w) for w in found] == [True, True, False, False]
    assert ["standard deviations" in " ".join(w) for w in found] == [False, False, True, False]
    assert ["frozen" in " ".join(w) for w in found] == [False, False, False, True]


@pytest.mark.parametrize("seed", range(8))
def test_c_x17_2_offsets_and_scatter_of_twenty_observers_are_found(seed):
    """20 observers, 200 sites, five observations a site: RMSE(b) <= .008, corr(s) >= .8, RMSE(x) < .85 of that of plain means."""
    rng = np.random.default_rng(seed)
    b, s, x = rng.normal(0, 0.03, 20), rng.uniform(0.01, 0.05, 20), rng.uniform(0.05, 0.45, 200)
    b -= b.mean()
    site, who = np.repeat(np.arange(200), 5), np.concatenate([rng.choice(20, 5, replace=False) for _ in range(200)])
    y = x[site] + b[who] + rng.normal(0, 1, 1000) * s[who]
    found = observers.estimate(y, site, who)

    def rmse(a):
        return np.sqrt(np.mean(a**2))

    assert rmse(found.offset - b) <= 0.008
    assert np.corrcoef(found.scatter, s)[0, 1] >= 0.8
    assert rmse(found.value - x) < 0.85 * rmse(np.bincount(site, y) / 5 - x)
    assert found.trust[s < 0.03].min() > found.trust[s > 0.048].max(initial=0.0)


def test_a_reference_sensor_fixes_the_offset():
    """Two observers who both read .1 too much: among themselves nobody knows, beside a reference sensor it is seen."""
    y, site, who = np.array([0.31, 0.29, 0.41, 0.39]), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert observers.estimate(y, site, who).offset.sum() == pytest.approx(0)
    found = observers.estimate(y, site, who, reference=np.array([0.2, 0.3]))
    np.testing.assert_allclose(found.offset, [0.11, 0.09])
    np.testing.assert_array_equal(found.value, [0.2, 0.3])


def test_who_was_alone_everywhere_has_no_trust_score():
    found = observers.estimate(np.array([0.2, 0.21, 0.3]), np.array([0, 0, 1]), np.array([0, 1, 2]))
    assert np.isnan(found.trust[2])
    assert found.offset[2] == 0


def test_samples_of_one_person_alone_say_nothing_about_the_person(tmp_path):
    """Three samples side by side that differ wait for that; nobody else was there to see something else."""
    for replicate, wet in (("1", "140"), ("2", "150"), ("3", "150")):
        moderation.keep(tmp_path, seen(replicate=replicate, wet=wet))
    found = moderation.judged(tmp_path)
    assert {j.doubts for j in found} == {("samples side by side differ by more than 0.06 m3 m-3",)}
    assert all(np.isnan(j.trust) for j in found)


@settings(deadline=None)
@given(st.floats(-89, 89), st.floats(-179, 179), st.floats(0, 5000))
def test_nobody_finds_the_garden(lat, lon, accuracy):
    """Published coordinates are multiples of .01 degrees, at most half of that away, and say how far they may be off."""
    shown = citizen.for_publication({"latitude": lat, "longitude": lon, "coordinate_accuracy": accuracy, "note": "my garden", "photo_sha256": "ab"})  # fmt: skip
    for name, true in (("latitude", lat), ("longitude", lon)):
        assert abs(shown[name] / 0.01 - round(shown[name] / 0.01)) < 1e-6
        assert abs(shown[name] - true) <= 0.005 + 1e-6
    assert citizen.distance({"latitude": lat, "longitude": lon}, shown) <= shown["coordinate_accuracy"] + 1
    assert not {"note", "photo_sha256"} & set(shown)


def test_decisions_are_logged_and_the_last_one_counts(tmp_path):
    one, _ = moderation.keep(tmp_path, seen())
    two, _ = moderation.keep(tmp_path, seen(replicate="2", wet="140"))
    assert [j.state for j in moderation.judged(tmp_path)] == ["waiting", "waiting"], "side by side they differ by .13"
    moderation.decide(tmp_path, one, "rejected", by="ana", why="wrong tin")
    moderation.decide(tmp_path, one, "accepted", by="ben", why="tin weighed again")
    with (tmp_path / "decisions.jsonl").open("a") as file:
        file.write('{"id": "cut')  # a crash in the middle of a line
    moderation.decide(tmp_path, two, "waiting", by="cy", why="asked the observer")
    state = {j.id: (j.state, j.decided_by) for j in moderation.judged(tmp_path)}
    assert state == {one: ("accepted", "ben"), two: ("waiting", "cy")}
    assert (tmp_path / "decisions.jsonl").read_text().count("wrong tin") == 1
    rows = list(csv.DictReader(io.StringIO(moderation.published(tmp_path))))
    assert [r["id"] for r in rows] == [one]
    assert (rows[0]["latitude"], rows[0]["longitude"], rows[0]["relative_wetness"]) == ("47.5", "8.25", "-9999")
    assert "clover" not in moderation.published(tmp_path)
    with pytest.raises(VadoseInputError, match="why"):
        moderation.decide(tmp_path, one, "rejected", by="ana", why=" ")
    with pytest.raises(NotFoundError):
        moderation.decide(tmp_path, "../../etc", "rejected", by="ana", why="x")


def test_a_submission_keeps_its_good_rows_and_names_the_others(tmp_path):
    run = CliRunner()
    text = run.invoke(command, ["citizen", "template"]).output
    assert text == citizen.template()
    head, example = text.splitlines()
    one = example.replace("47.5012", "47.6")
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([head, one, one, one.replace("150", "50"), one + ",x", one.replace("meadow-7", "hill-2"), example]))  # fmt: skip
    done = run.invoke(command, ["citizen", "submit", str(path), "--into", str(tmp_path / "kept")])
    assert done.exit_code == 1
    assert "line 4: The three weights" in done.output
    assert "line 5: 1 more cells than columns" in done.output
    assert "line 7: This is the example of the template; delete it" in done.output
    assert "2 good observations, 1 repetitions, 3 bad rows" in done.output
    assert "2 new in" in done.output
    assert run.invoke(command, ["citizen", "review", str(tmp_path / "kept")]).output.strip().endswith("0 rejected")
    assert run.invoke(command, ["citizen", "publish", str(tmp_path / "kept")]).output.startswith("id,observer,time")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableFileError, match="observer_id"):
        citizen.read_submission(path)
