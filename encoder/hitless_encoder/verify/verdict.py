"""What the gate says: a verdict with its reason, and the rejection that the checks raise inside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a verdict is what it is. A refusal begins with this word."""

    IDENTICAL = "Identical"  # the same bytes in every track
    EQUIVALENT = "Equivalent"  # same structure, pictures and sound close enough
    IN_TIME = "InTime"  # segments come as fast and as regularly as they must
    TRACKS_DIFFER = "TracksDiffer"  # a track is missing or too many
    INIT_DIFFERS = "InitDiffers"  # an init segment is not ours
    BROKEN = "Broken"  # not the boxes of a CMAF segment
    NUMBER_DIFFERS = "NumberDiffers"  # mfhd sequence number is not the segment's
    TIME_DIFFERS = "TimeDiffers"  # tfdt is not the segment's start
    COUNT_DIFFERS = "CountDiffers"  # number of samples, pictures or AAC frames
    DURATION_DIFFERS = "DurationDiffers"  # a sample's duration
    SYNC_DIFFERS = "SyncDiffers"  # does not begin with a sync sample
    UNDECODABLE = "Undecodable"  # a decoder refuses it
    PICTURE_FROZEN = "PictureFrozen"  # stands still where ours moves
    PICTURE_SHIFTED = "PictureShifted"  # is ours of some frames before or after
    LEVELS_DIFFER = "LevelsDiffer"  # luma is ours by another scale: the other colour range
    COLOURS_SWAPPED = "ColoursSwapped"  # Cb is our Cr
    PICTURE_DIFFERS = "PictureDiffers"  # PSNR or SSIM below the threshold
    SOUND_DIFFERS = "SoundDiffers"  # louder or quieter than ours, or something else
    SOUND_SHIFTED = "SoundShifted"  # is ours, early or late
    TOO_SLOW = "TooSlow"  # less than the margin to real time that is demanded
    TOO_LATE = "TooLate"  # its segments come long after ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of a video track. lowest_db: least luma PSNR, at lowest_frame; mean_db: of
    all pictures; ssim_permille: least luma SSIM of the pictures it was measured of.
    """

    track: str
    lowest_db: float
    mean_db: float
    lowest_frame: int
    ssim_permille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """ok and why. message names track, field, expected and got. figures: of the tracks measured."""

    ok: bool
    reason: Reason
    message: str
    figures: tuple[Figures, ...] = ()

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Rejection(Exception):
    """A check failed. The message begins with the track."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def verdict(self, figures: tuple[Figures, ...] = ()) -> Verdict:
        """As an answer."""
        return Verdict(ok=False, reason=self.reason, message=str(self), figures=figures)
