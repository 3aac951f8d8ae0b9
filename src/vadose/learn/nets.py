"""Networks for daily series, all with one face: inputs (site, time, feature), attributes (site, attribute) -> every day.

`forward(x, static)` returns (site, time, outputs) before any bound; the last output may be the logit of frozen ground.
Networks with `patches` look at a picture around the site: inputs (site, time, feature, row, column), the site in the middle.
None of them looks ahead. Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; Bai et al. 2018, arXiv:1803.01271
(dilated causal convolutions); Shi et al. 2015, arXiv:1506.04214 (convolutional memory); Vaswani et al. 2017, arXiv:1706.03762.
This module needs PyTorch (extra `torch`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vadose.errors import VadoseInputError


class _Net(nn.Module):
    """Attributes enter once, added to the inputs, instead of being repeated every day."""

    patches = False

    def __init__(self, inputs: int, static: int) -> None:
        super().__init__()
        self.attribute = nn.Linear(static, inputs) if static else None

    def blend(self, x: Tensor, static: Tensor) -> Tensor:
        if self.attribute is None:
            return x
        added = self.attribute(static)[:, None]
        return x + added.reshape(*added.shape, *([1] * (x.dim() - 3)))


class Lstm(_Net):
    """One or two layers of long short-term memory."""

    def __init__(
        self, inputs: int, static: int, outputs: int, *, hidden: int = 128, layers: int = 1, dropout: float = 0.4
    ) -> None:
        super().__init__(inputs, static)
        self.cell = nn.LSTM(inputs, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        for name, value in self.cell.named_parameters():
            if name.startswith("bias_hh"):  # remember at first: forget gate open
                with torch.no_grad():
                    value[hidden : 2 * hidden] = 3.0
        self.drop, self.head = nn.Dropout(dropout), nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        return self.head(self.drop(self.cell(self.blend(x, static))[0]))


class _Block(nn.Module):
    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.pad = (kernel - 1) * dilation
        self.first = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.second, self.drop = nn.Conv1d(width, width, 1), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first(nn.functional.pad(x, (self.pad, 0))))
        return x + self.drop(torch.relu(self.second(inner)))


class DilatedCnn(_Net):
    """Causal convolutions whose reach doubles a block: 6 blocks of kernel 3 see 127 days."""

    def __init__(
        self,
        inputs: int,
        static: int,
        outputs: int,
        *,
        hidden: int = 64,
        layers: int = 6,
        kernel: int = 3,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(inputs, static)
        self.lift = nn.Conv1d(inputs, hidden, 1)
        self.blocks = nn.Sequential(*[_Block(hidden, kernel, 2**k, dropout) for k in range(layers)])
        self.head = nn.Conv1d(hidden, outputs, 1)

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        return self.head(self.blocks(self.lift(self.blend(x, static).transpose(1, 2)))).transpose(1, 2)


class PatchCnn(_Net):
    """A picture around the site every day: two convolutions in space, then memory in time."""

    patches = True

    def __init__(
        self, inputs: int, static: int, outputs: int, *, hidden: int = 64, layers: int = 1, dropout: float = 0.4
    ) -> None:
        super().__init__(inputs, static)
        self.look = nn.Sequential(
            nn.Conv2d(inputs, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )
        self.middle = nn.Linear(inputs, 32)
        self.memory = Lstm(64, 0, outputs, hidden=hidden, layers=layers, dropout=dropout)

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        sites, days, inputs, rows, columns = x.shape
        x = self.blend(x, static)
        around = self.look(x.reshape(sites * days, inputs, rows, columns)).reshape(sites, days, 32)
        here = self.middle(x[..., rows // 2, columns // 2])
        return self.memory(torch.cat([around, here], dim=-1), static)


class ConvLstm(_Net):
    """Memory in every pixel, its gates convolutions: what moves over the land is followed until it reaches the site.

    A day carries it half a kernel far. One step of this network is a loop over days, so it costs more than `PatchCnn`, which knows
    what the picture held but not where it went.
    """

    patches = True

    def __init__(
        self,
        inputs: int,
        static: int,
        outputs: int,
        *,
        hidden: int = 32,
        layers: int = 1,
        kernel: int = 3,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(inputs, static)
        if kernel % 2 == 0:
            raise VadoseInputError(f"the kernel must have a middle, so be odd, got {kernel}")
        widths = [inputs, *[hidden] * (layers - 1)]
        half = kernel // 2
        enter = [nn.Conv2d(w, 4 * hidden, kernel, padding=half) for w in widths]
        recur = [nn.Conv2d(hidden, 4 * hidden, kernel, padding=half, bias=False) for _ in widths]
        for gate, step in zip(enter, recur, strict=True):
            if gate.bias is not None:  # remember at first: forget gate open
                nn.init.constant_(gate.bias[hidden : 2 * hidden], 1.0)
            # PyTorch's default is a third of this, and what must cross several pixels fades before it teaches.
            nn.init.kaiming_uniform_(step.weight, nonlinearity="tanh")
        self.enter, self.recur = nn.ModuleList(enter), nn.ModuleList(recur)
        self.drop, self.head, self.hidden = nn.Dropout(dropout), nn.Linear(2 * hidden, outputs), hidden

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        sites, days, _, rows, columns = x.shape
        x = self.blend(x, static)
        for enter, recur in zip(self.enter, self.recur, strict=True):
            entered = enter(x.flatten(0, 1)).unflatten(0, (sites, days))
            state = memory = x.new_zeros(sites, self.hidden, rows, columns)
            kept = []
            for t in range(days):
                take, keep, new, show = (entered[:, t] + recur(state)).chunk(4, dim=1)
                memory = torch.sigmoid(keep) * memory + torch.sigmoid(take) * torch.tanh(new)
                state = torch.sigmoid(show) * torch.tanh(memory)
                kept.append(state)
            x = torch.stack(kept, dim=1)
        both = torch.cat([x[..., rows // 2, columns // 2], x.mean(dim=(-2, -1))], dim=-1)  # the site, and all around it
        return self.head(self.drop(both))


class Transformer(_Net):
    """Attention over past days only, with sinusoids as places in time."""

    def __init__(
        self,
        inputs: int,
        static: int,
        outputs: int,
        *,
        hidden: int = 64,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, static)
        self.lift = nn.Linear(inputs, hidden)
        layer = nn.TransformerEncoderLayer(hidden, heads, 2 * hidden, dropout, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.head, self.hidden = nn.Linear(hidden, outputs), hidden

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        days = x.shape[1]
        at = torch.arange(days, device=x.device, dtype=x.dtype)[:, None]
        rate = torch.exp(
            torch.arange(0, self.hidden, 2, device=x.device, dtype=x.dtype) * (-math.log(1e4) / self.hidden)
        )
        place = torch.zeros(days, self.hidden, device=x.device, dtype=x.dtype)
        place[:, 0::2], place[:, 1::2] = torch.sin(at * rate), torch.cos(at * rate)
        mask = torch.triu(torch.full((days, days), float("-inf"), device=x.device, dtype=x.dtype), diagonal=1)
        return self.head(self.body(self.lift(self.blend(x, static)) + place, mask=mask, is_causal=True))


KINDS: dict[str, type[_Net]] = {
    "lstm": Lstm,
    "dilated_cnn": DilatedCnn,
    "patch_cnn": PatchCnn,
    "conv_lstm": ConvLstm,
    "transformer": Transformer,
}
