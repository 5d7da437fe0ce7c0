"""What the learning core refuses, each with a code and details that name the cause."""

from collections.abc import Mapping
from typing import Any, ClassVar


class LearningError(Exception):
    """The input cannot be used."""

    code: ClassVar[str] = "invalid_input"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details: Mapping[str, Any] = details
        super().__init__(self.message)


class UnknownFormat(LearningError):
    """This is not telemetry in a format the platform reads."""

    code = "unknown_format"


class InvalidTelemetry(LearningError):
    """The telemetry cannot be used as it is."""

    code = "invalid_telemetry"


class TelemetryTooLarge(LearningError):
    """The telemetry is larger than the platform takes once it is decoded."""

    code = "telemetry_too_large"


class UnknownAlgorithm(LearningError):
    """This model type has no such algorithm."""

    code = "unknown_algorithm"


class InvalidHyperparameters(LearningError):
    """Some hyperparameters are unknown or out of range; details name each."""

    code = "invalid_hyperparameters"


class InvalidInput(LearningError):
    """Some input fields are unknown or out of range; details name each."""

    code = "invalid_input"


class NothingToLearn(LearningError):
    """The sessions hold no lap this model type can learn from."""

    code = "nothing_to_learn"


class ExportNotSupported(LearningError):
    """This model cannot be exported in this format."""

    code = "export_not_supported"
