"""Golden values of the learning-rate schedules, made with PyTorch.

usage: schedules.py > schedules.json        (needs torch; regenerates the file beside this script)

`factors` are those of a base rate of 1 at each step of a training. How ours map to PyTorch's:
  step, exponential  StepLR, ExponentialLR, advanced once an epoch
  cosine             CosineAnnealingLR with T_max = T − W, advanced each step; with W warm-up steps after
                     LinearLR(start_factor=1/(W + 1), total_iters=W), by SequentialLR
  one_cycle          OneCycleLR with max_lr = 1, div_factor = 1/start_factor, final_div_factor = start_factor/final_factor
  triangular         CyclicLR(base_lr=0, max_lr=1) with step_size_up = peak_fraction·(T + 1), of T + 1 steps, the first
                     one, of rate 0, left out
"""
import json
import warnings

import torch
from torch.optim import lr_scheduler as S

warnings.simplefilter("ignore")  # CosineAnnealingLR within SequentialLR warns of the order of calls


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)


def trace(make, steps, every=1):
    o = optimizer()
    schedule = make(o)
    factors = []
    for step in range(steps):
        factors.append(o.param_groups[0]["lr"])
        o.step()
        if (step + 1) % every == 0 and step + 1 < steps:
            schedule.step()
    return factors


def cosine(steps, warmup, final):
    def make(o):
        rest = lambda: S.CosineAnnealingLR(o, T_max=steps - warmup, eta_min=final)
        if warmup == 0:
            return rest()
        line = S.LinearLR(o, start_factor=1 / (warmup + 1), total_iters=warmup)
        return S.SequentialLR(o, [line, rest()], milestones=[warmup])
    return make


def one_cycle(steps, warmup, start, final):
    return lambda o: S.OneCycleLR(o, max_lr=1.0, total_steps=steps, pct_start=warmup, div_factor=1 / start,
                                  final_div_factor=start / final, cycle_momentum=False)


def triangular(steps, peak):
    up = peak * (steps + 1)
    return lambda o: S.CyclicLR(o, base_lr=0.0, max_lr=1.0, step_size_up=up, step_size_down=steps + 1 - up,
                                cycle_momentum=False)


def case(spec, per_epoch, factors):
    return {"schedule": spec, "steps_per_epoch": per_epoch, "factors": factors}


print(json.dumps([
    case({"type": "constant"}, 3, trace(lambda o: S.ConstantLR(o, factor=1.0), 9)),
    case({"type": "step", "every_epochs": 2, "factor": 0.1}, 3, trace(lambda o: S.StepLR(o, 2, 0.1), 20, 3)),
    case({"type": "exponential", "factor": 0.9}, 4, trace(lambda o: S.ExponentialLR(o, 0.9), 22, 4)),
    case({"type": "cosine", "warmup_epochs": 0, "final_factor": 0.0}, 5, trace(cosine(25, 0, 0.0), 25)),
    case({"type": "cosine", "warmup_epochs": 2, "final_factor": 0.05}, 5, trace(cosine(30, 10, 0.05), 30)),
    case({"type": "one_cycle", "warmup_fraction": 0.3, "start_factor": 0.04, "final_factor": 0.0001}, 5,
         trace(one_cycle(30, 0.3, 0.04, 0.0001), 30)),
    case({"type": "one_cycle", "warmup_fraction": 0.45, "start_factor": 0.1, "final_factor": 0.01}, 7,
         trace(one_cycle(33, 0.45, 0.1, 0.01), 33)),
    case({"type": "triangular", "peak_fraction": 0.3}, 5, trace(triangular(29, 0.3), 30)[1:]),
    case({"type": "triangular", "peak_fraction": 0.5}, 5, trace(triangular(24, 0.5), 25)[1:]),
], indent=1))
