"""Writes ONNX graphs as one writes numpy: values with operators instead of lists of nodes."""

from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
_IR_VERSION = 8  # of that opset's time, so that older runtimes load the graph too
_TYPES = {
    np.dtype(np.float64): TensorProto.DOUBLE,
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.bool_): TensorProto.BOOL,
}
Operand = Union["Value", float, NDArray[Any]]


class Graph:
    """A graph in the making."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[bytes, tuple[int, ...], str], onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, *shape: int | str) -> "Value":
        """A double that whoever runs the graph gives; a size that is a name is free."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape))
        return Value(self, name, np.dtype(np.float64))

    def constant(self, array: Any, dtype: Any = None) -> "Value":
        values = np.ascontiguousarray(array, dtype=dtype).reshape(np.shape(array))
        key = values.tobytes(), values.shape, str(values.dtype)
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(values, f"c{len(self._constants)}")
        return Value(self, self._constants[key].name, values.dtype)

    def apply(self, operator: str, *inputs: "Value", dtype: Any = None, **attributes: Any) -> "Value":
        """The first output of an ONNX operator; of the first input's type unless `dtype` says otherwise."""
        return self.apply_all(operator, *inputs, dtypes=(dtype,), **attributes)[0]

    def apply_all(
        self, operator: str, *inputs: "Value", dtypes: Sequence[Any], **attributes: Any
    ) -> list["Value"]:
        """All outputs of an ONNX operator."""
        names = [f"v{len(self._nodes)}_{number}" for number in range(len(dtypes))]
        self._nodes.append(helper.make_node(operator, [value.name for value in inputs], names, **attributes))
        own = inputs[0].dtype
        return [Value(self, name, np.dtype(kind or own)) for name, kind in zip(names, dtypes, strict=True)]

    def where(self, condition: "Value", yes: Operand, no: Operand) -> "Value":
        kind = next(one.dtype for one in (yes, no) if isinstance(one, Value))
        values = [one if isinstance(one, Value) else self.constant(one, kind) for one in (yes, no)]
        return self.apply("Where", condition, *values, dtype=kind)

    def concat(self, values: Sequence["Value"], axis: int) -> "Value":
        return self.apply("Concat", *values, axis=axis)

    def finish(self, output: "Value", name: str, metadata: Mapping[str, str]) -> bytes:
        """The model with one output, a row each, checked and serialised."""
        self._nodes.append(helper.make_node("Identity", [output.name], [name]))
        shown = helper.make_tensor_value_info(name, _TYPES[output.dtype], ["batch"])
        graph = helper.make_graph(
            self._nodes, "lapwise", self._inputs, [shown], list(self._constants.values())
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="lapwise"
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


class Value:
    """A tensor of a graph; operators follow numpy, also in how shapes are stretched."""

    def __init__(self, graph: Graph, name: str, dtype: np.dtype[Any]) -> None:
        self.graph = graph
        self.name = name
        self.dtype = dtype

    def _with(self, operator: str, other: Operand, dtype: Any = None) -> "Value":
        return self.graph.apply(operator, self, self._operand(other), dtype=dtype)

    def _operand(self, other: Operand) -> "Value":
        return other if isinstance(other, Value) else self.graph.constant(other, self.dtype)

    def __add__(self, other: Operand) -> "Value":
        return self._with("Add", other)

    def __sub__(self, other: Operand) -> "Value":
        return self._with("Sub", other)

    def __rsub__(self, other: Operand) -> "Value":
        return self._operand(other) - self

    def __mul__(self, other: Operand) -> "Value":
        return self._with("Mul", other)

    def __truediv__(self, other: Operand) -> "Value":
        return self._with("Div", other)

    def __rtruediv__(self, other: Operand) -> "Value":
        return self._operand(other) / self

    def __matmul__(self, other: "Value") -> "Value":
        return self._with("MatMul", other)

    def __gt__(self, other: Operand) -> "Value":
        return self._with("Greater", other, np.bool_)

    def __le__(self, other: Operand) -> "Value":
        return self._with("LessOrEqual", other, np.bool_)

    def __and__(self, other: "Value") -> "Value":
        return self._with("And", other)

    def __or__(self, other: "Value") -> "Value":
        return self._with("Or", other)

    def __invert__(self) -> "Value":
        return self.graph.apply("Not", self)

    def equals(self, other: Operand) -> "Value":
        return self._with("Equal", other, np.bool_)

    def minimum(self, other: Operand) -> "Value":
        return self._with("Min", other)

    def maximum(self, other: Operand) -> "Value":
        return self._with("Max", other)

    def is_nan(self) -> "Value":
        return self.graph.apply("IsNaN", self, dtype=np.bool_)

    def known_or(self, other: Operand) -> "Value":
        """The values, and another where they are NaN."""
        return self.graph.where(self.is_nan(), other, self)

    def map(self, operator: str) -> "Value":
        """What an operator of one input makes of it."""
        return self.graph.apply(operator, self)

    def cast(self, dtype: Any) -> "Value":
        return self.graph.apply("Cast", self, dtype=dtype, to=_TYPES[np.dtype(dtype)])

    def sum(self, axis: int, *, keep: bool = False) -> "Value":
        return self.graph.apply("ReduceSum", self, self._axes(axis), keepdims=int(keep))

    def min(self, axis: int, *, keep: bool = False) -> "Value":
        return self.graph.apply("ReduceMin", self, axes=[axis], keepdims=int(keep))

    def max(self, axis: int, *, keep: bool = False) -> "Value":
        return self.graph.apply("ReduceMax", self, axes=[axis], keepdims=int(keep))

    def running_sum(self, axis: int, *, from_end: bool = False) -> "Value":
        return self.graph.apply("CumSum", self, self.graph.constant(axis, np.int64), reverse=int(from_end))

    def take(self, rows: "Value", axis: int = 0) -> "Value":
        """The slices along an axis that an integer value of any shape names."""
        return self.graph.apply("Gather", self, rows, axis=axis)

    def pick(self, places: "Value", axis: int) -> "Value":
        """Along an axis one element for each place."""
        return self.graph.apply("GatherElements", self, places, axis=axis)

    def part(self, start: int, end: int, axis: int) -> "Value":
        bounds = (self._axes(number) for number in (start, end, axis))
        return self.graph.apply("Slice", self, *bounds)

    def widen(self, axis: int) -> "Value":
        """With one more axis, of size one."""
        return self.graph.apply("Unsqueeze", self, self._axes(axis))

    def narrow(self, axis: int) -> "Value":
        """Without an axis of size one."""
        return self.graph.apply("Squeeze", self, self._axes(axis))

    def _axes(self, *axes: int) -> "Value":
        return self.graph.constant(np.array(axes), np.int64)
