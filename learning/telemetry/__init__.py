"""Reading a driver's telemetry: any known format in, the laps of one session out."""

from learning.telemetry.reading import Recording, read_session
from learning.telemetry.source import Limits

__all__ = ["Limits", "Recording", "read_session"]
