"""What can be wrong with a logger's value: one bit each, in a table of its own because the checks are those of a logger."""

from __future__ import annotations

from vadose.qc.flags import Flag, FlagTable

_SENTENCES = (
    ("F_OOB", "outside the limits of its instrument"),
    ("F_OOS", "the sensor was listed as out of service"),
    ("F_MAD", "far from the median of its month or week"),
    ("F_DUP", "files of one rank disagree about this value"),
    ("F_GAP", "no value in the day before it"),
    ("F_STUCK", "the same value for at least 24 hours"),
    ("F_CLOCK", "the logger's clock was set back across this time"),
    ("F_CUT", "from a last line without line end: the file may have been cut here"),
    ("F_NODATA", "the logger wrote a no-data number"),
    ("F_RANGE", "outside what the sensor's calibration was made for"),
    ("F_INTERP", "filled by linear interpolation over a short gap"),
)

#: Flags of sensor streams, bits 0 to 10 of the column `flag`.
STREAM_FLAGS = FlagTable(
    "sensor stream",
    tuple(Flag(bit, code, sentence) for bit, (code, sentence) in enumerate(_SENTENCES)),
    "COMPASS-FME level 1 documentation, doi:10.15485/2439400; bits below F_GAP keep its names",
)
OOB, OOS, MAD, DUP, GAP, STUCK, CLOCK, CUT, NODATA, RANGE, INTERP = (row.mask for row in STREAM_FLAGS.rows)

#: Facts about a row itself, kept when everything else is computed anew.
INTRINSIC = DUP | CLOCK | CUT
#: Doubts that keep a value out of averages. A gap before a value says nothing against it.
DROPPED = OOB | OOS | MAD | DUP | STUCK | CLOCK | NODATA
