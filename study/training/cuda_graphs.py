"""A training step as one CUDA graph: the launches of its hundreds of small kernels become a single one."""

from collections.abc import Callable

import torch
from torch.utils._pytree import tree_leaves, tree_map

WARM_UP = 3  # calls before the capture, which make the optimiser's state and choose the libraries' kernels


class CudaGraph:
    """What a function does on the current CUDA device, recorded once and done again at every replay."""

    def __init__(self):
        self.graph, self.stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()

    def warm_up(self, function: Callable):
        """Call it where it will be recorded: libraries keep their workspaces, and so choose their kernels, by stream."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            made = function()
        torch.cuda.current_stream().wait_stream(self.stream)
        return made

    def record(self, function: Callable):
        """What the function returns, which every replay writes anew. Nothing is computed yet."""
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):  # others may copy meanwhile
            return function()

    def replay(self) -> None:
        self.graph.replay()


class Captured:
    """`step(...)` -> tensors, recorded at its fourth call and replayed from then on. What it is given and gives back are tensors in
    any nest of dicts and lists, of the same form each time.

    The step must keep its shapes, wait for nothing and change its parameters, buffers and optimiser in place. `graph` makes what
    records it.
    """

    def __init__(self, step: Callable, graph: Callable):
        self.step, self.calls, self.recorded, self.graph = step, 0, False, graph()

    def __call__(self, *given):
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.graph.warm_up(lambda: self.step(*given))
        if not self.recorded:
            self.inputs = tree_map(torch.clone, given)
            self.made = self.graph.record(lambda: self.step(*self.inputs))
            self.recorded = True
        torch._foreach_copy_(tree_leaves(self.inputs), tree_leaves(given))  # a graph reads where it read when it was recorded
        self.graph.replay()
        return tree_map(torch.clone, self.made)  # copies: the next replay writes there too
