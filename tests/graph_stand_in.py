"""A CUDA graph for machines without a card: the operations on tensors that a function did once, done again on the same memory.

As with a real one, only what happens to tensors is recorded: numbers that Python computed stay what they were, an input is read
where it lay, and an optimiser's memory that was made anew is not seen.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only


class GraphStandIn:
    def __init__(self):
        self.operations, self.replays = [], 0

    def warm_up(self, function):
        return function()

    def record(self, function):
        with Recording(self.operations):
            self.made = function()
        self.fresh = True  # the function has just been computed, which a real graph leaves to its first replay
        return self.made

    def replay(self):
        self.replays += 1
        if self.fresh:
            self.fresh = False
            return
        with torch.no_grad():
            for operation, args, kwargs, results in self.operations:
                again, _ = tree_flatten(operation(*args, **kwargs))
                for kept, new in zip(results, again):
                    if isinstance(kept, torch.Tensor) and kept.data_ptr() != new.data_ptr():
                        kept.copy_(new)


class Recording(TorchDispatchMode):
    def __init__(self, operations):
        super().__init__()
        self.operations = operations

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        memory = tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs or {}, results))
        self.operations.append((operation, *memory[:2], tree_flatten(memory[2])[0]))
        return results
