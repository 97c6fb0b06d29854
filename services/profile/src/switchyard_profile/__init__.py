"""Profiles: what X and Y look like, in whole numbers. Shared by who trains a model and by who watches it. No scipy.

The walk of the data:

1.  *Training.* `switchyard-profile` (`__main__`) reads a table (`files`), or a pipeline hands its columns over, and
    `training` makes a `reference` of them: for every feature its type, fixed edges or categories (`bins`), a centre
    and a scale, the counts of all rows, and the counts of each of the table's own windows (days), where rows have a
    time. The reference is canonical JSON, and the SHA-256 of it is its name.
2.  *Watching.* The monitor sorts the values of a window's rows (`values`) and counts them in the reference's bins:
    one `profile` a window, which carries the reference's name. Nothing in it depends on what other windows hold, so
    one wild value cannot move the bins of the rest.
3.  *Adding up.* Profiles of one reference are added and taken out again, bit by bit the same in any order and any
    split: counts are whole numbers, and so are Σq and Σq² (`moments`). Only the least and the greatest value cannot
    be taken out; they say so.
4.  *Reading.* `readings` turns a profile into what people ask for: shares, mean, deviation, quantiles.
5.  *Judging* is the monitor's (`switchyard_monitor.domain.drift`): the window's counts against the reference's, held
    against how much the reference's own windows differ from the rest of it.
"""
