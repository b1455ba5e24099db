"""FERNet and its losses in PyTorch: the reference for the golden files. It is not part of fer.

It computes with plain modules what fer computes, so that the two can be compared number by number. A network is
described by the keys under "model" in fer's configuration files. Parameters have fer's names, which are those of the
public checkpoints: IR50 of face.evoLVe, MobileFaceNet of pytorch_face_landmark.
"""
import math

import numpy
import torch
from torch import nn
from torch.nn import functional as F

DEFAULTS = dict(
    classes=7, image_size=112,
    stem=64, stem_stride=1, widths=(64, 128, 256), units=(3, 4, 14), strides=(2, 2, 2),
    lm_width=64, lm_units=(4, 6, 2), lm_head=False, lm_outputs=136,
    dim=768, heads=8, depth=2, mlp_ratio=4, heatmap="max", product=True, cross=True,
    pos_embed=False, qkv_bias=False, pre_norm=False, final_norm=False, se_gate=False)


# --- numbers from names ---------------------------------------------------------------------------------------

def fnv1a(text):
    """The 64-bit FNV-1a hash of the text's UTF-8."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def uniform(name, *shape):
    """float64 in [-1, 1): number i is output i of SplitMix64 started at the name's hash, its upper 53 bits."""
    with numpy.errstate(over="ignore"):
        z = numpy.arange(1, math.prod(shape) + 1, dtype=numpy.uint64)
        z = z * numpy.uint64(0x9E3779B97F4A7C15) + numpy.uint64(fnv1a(name))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ z >> numpy.uint64(shift)) * numpy.uint64(factor)
        z ^= z >> numpy.uint64(31)
    return torch.from_numpy((z >> numpy.uint64(11)) * 2.0**-52 - 1.0).reshape(shape)


@torch.no_grad()
def fill(module, salt):
    """Gives every parameter and running statistic a value that follows from salt + name alone."""
    slopes = {name + ".weight" for name, part in module.named_modules() if isinstance(part, nn.PReLU)}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        u = uniform(salt + name, *tensor.shape) if tensor.is_floating_point() else tensor
        if name in slopes:
            u = 0.25 + 0.1 * u
        elif name.endswith("num_batches_tracked"):
            pass
        elif name.endswith("_class"):
            u = 0.5 * u
        elif name.endswith("running_var"):
            u = 1 + 0.2 * u
        elif tensor.dim() > 1:  # variance 1 / fan-in
            u = math.sqrt(3 * len(tensor) / tensor.numel()) * u
        elif name.endswith("weight"):
            u = 1 + 0.2 * u
        else:
            u = 0.1 * u
        tensor.copy_(u)


# --- both backbones -------------------------------------------------------------------------------------------

class Unit(nn.Module):
    """A unit of IR50: norm, two convolutions, norm, and a shortcut around them."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.shortcut_layer = nn.MaxPool2d(1, stride) if inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return self.shortcut_layer(x) + self.res_layer(x)


class ImageBackbone(nn.Sequential):
    def __init__(self, c):
        stem = nn.Sequential(nn.Conv2d(3, c["stem"], 3, c["stem_stride"], 1, bias=False), nn.BatchNorm2d(c["stem"]),
                             nn.PReLU(c["stem"]))
        units, inputs = [], c["stem"]
        for width, count, stride in zip(c["widths"], c["units"], c["strides"]):
            for i in range(count):
                units.append(Unit(inputs, width, 1 if i else stride))
                inputs = width
        super().__init__()
        self.input_layer, self.body = stem, nn.Sequential(*units)


class Convolution(nn.Sequential):
    """Convolution, norm and, unless it is linear, PReLU."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, linear=False, padding=None):
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        if not linear:
            self.prelu = nn.PReLU(outputs)


class DepthWise(nn.Sequential):
    """Expands to `hidden` channels, convolves each of them separately, and projects back."""

    def __init__(self, inputs, outputs, hidden, stride):
        super().__init__()
        self.conv = Convolution(inputs, hidden)
        self.conv_dw = Convolution(hidden, hidden, 3, stride, hidden)
        self.project = Convolution(hidden, outputs, linear=True)


class Residual(DepthWise):
    def __init__(self, width, hidden):
        super().__init__(width, width, hidden, 1)

    def forward(self, x):
        return x + super().forward(x)


class ResidualStack(nn.Sequential):
    def __init__(self, count, width, hidden):
        super().__init__()
        self.model = nn.Sequential(*(Residual(width, hidden) for _ in range(count)))


class LandmarkHead(nn.Sequential):
    def __init__(self, width, outputs):
        super().__init__()
        self.conv_6_dw = Convolution(width, width, 7, groups=width, linear=True, padding=0)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(width, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)


class LandmarkBackbone(nn.Module):
    """MobileFaceNet: its feature after conv_4 is the map for the attention; the head's outputs are the landmarks."""

    def __init__(self, c):
        super().__init__()
        w, units = c["lm_width"], c["lm_units"]
        self.conv1 = Convolution(3, w, 3, 2)
        self.conv2_dw = Convolution(w, w, 3, groups=w)
        self.conv_23 = DepthWise(w, w, 2 * w, 2)
        self.conv_3 = ResidualStack(units[0], w, 2 * w)
        self.conv_34 = DepthWise(w, 2 * w, 4 * w, 2)
        self.conv_4 = ResidualStack(units[1], 2 * w, 4 * w)
        if c["lm_head"]:
            self.conv_45 = DepthWise(2 * w, 2 * w, 8 * w, 2)
            self.conv_5 = ResidualStack(units[2], 2 * w, 4 * w)
            self.conv_6_sep = Convolution(2 * w, 8 * w)
            self.output_layer = LandmarkHead(8 * w, c["lm_outputs"])

    def forward(self, x):
        for part in (self.conv1, self.conv2_dw, self.conv_23, self.conv_3, self.conv_34, self.conv_4):
            x = part(x)
        return x

    def landmarks(self, feature):
        return self.output_layer(self.conv_6_sep(self.conv_5(self.conv_45(feature))))


# --- dual attention -------------------------------------------------------------------------------------------

def heat_map(feature, kind):
    """N x C x h x w -> N x 1 x h x w, the rows of Table 4."""
    rows = feature.abs() if kind == "abs_sum" else feature
    return rows.amax(1, keepdim=True) if kind == "max" else rows.sum(1, keepdim=True)


def attention(q, k, v, heads):
    """Eq. 4: every head on its own slice of the last dimension."""
    outputs = []
    for qh, kh, vh in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1)):
        scores = torch.einsum("nqd,nkd->nqk", qh, kh) / math.sqrt(qh.shape[-1])
        outputs.append(torch.einsum("nqk,nkd->nqd", torch.softmax(scores, -1), vh))
    return torch.cat(outputs, -1)


class Block(nn.Module):
    """Eqs. 3 to 5."""

    def __init__(self, c):
        super().__init__()
        dim, self.heads = c["dim"], c["heads"]
        for name in ("norm_lm", "norm1"):
            setattr(self, name, nn.LayerNorm(dim, 1e-6) if c["pre_norm"] else nn.Identity())
        for name in ("q_lm", "k_fusion", "v_fusion"):
            setattr(self, name, nn.Linear(dim, dim, bias=c["qkv_bias"]))
        self.proj, self.norm = nn.Linear(dim, dim), nn.LayerNorm(dim, 1e-6)
        self.fc1, self.fc2 = nn.Linear(dim, c["mlp_ratio"] * dim), nn.Linear(c["mlp_ratio"] * dim, dim)

    def forward(self, fusion, landmarks):
        keys, queries = self.norm1(fusion), self.norm_lm(landmarks)
        attended = attention(self.q_lm(queries), self.k_fusion(keys), self.v_fusion(keys), self.heads)
        t = fusion + self.proj(attended)
        return t + self.fc2(F.gelu(self.fc1(self.norm(t))))


class DualAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config, dim = c, c["dim"]
        channels = dict(fusion=c["widths"][-1], lm=2 * c["lm_width"])
        if not c["cross"]:
            del channels["lm"]
        tokens = 1 + math.ceil(c["image_size"] / 8) ** 2
        for stream, width in channels.items():
            setattr(self, "embed_" + stream, nn.Linear(width, dim))
            setattr(self, stream + "_class", nn.Parameter(torch.empty(1, 1, dim)))
            if c["pos_embed"]:
                setattr(self, "pos_" + stream, nn.Parameter(torch.empty(1, tokens, dim)))
        if c["heatmap"] == "conv":
            self.heatmap_conv = nn.Conv2d(2 * c["lm_width"], c["widths"][-1], 1)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["depth"]))
        self.final_norm = nn.LayerNorm(dim, 1e-6) if c["final_norm"] else nn.Identity()
        if c["se_gate"]:
            self.se_linear1, self.se_linear2 = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def tokens(self, stream, feature):
        """Eq. 2."""
        embedded = getattr(self, "embed_" + stream)(feature.flatten(2).mT)
        first = getattr(self, stream + "_class").expand(len(feature), -1, -1)
        return torch.cat((first, embedded), 1) + getattr(self, "pos_" + stream, 0)

    def forward(self, f_img, f_lm):
        c = self.config
        if c["product"]:  # Eq. 1
            f_img = f_img * (self.heatmap_conv(f_lm) if c["heatmap"] == "conv" else heat_map(f_lm, c["heatmap"]))
        fusion = self.tokens("fusion", f_img)
        landmarks = self.tokens("lm", f_lm) if c["cross"] else None
        for block in self.blocks:
            fusion = block(fusion, fusion if landmarks is None else landmarks)
        token = self.final_norm(fusion)[:, 0]
        if c["se_gate"]:
            token = token * torch.sigmoid(self.se_linear2(F.relu(self.se_linear1(token))))
        return token


class FERNet(nn.Module):
    """Images N x 3 x S x S -> class scores N x K and class token N x D."""

    def __init__(self, **config):
        super().__init__()
        c = self.config = DEFAULTS | config
        self.image_backbone = ImageBackbone(c)
        self.landmark_backbone = LandmarkBackbone(c).requires_grad_(False)
        self.attention = DualAttention(c)
        self.head = nn.Linear(c["dim"], c["classes"])

    def train(self, mode=True):
        super().train(mode)
        self.landmark_backbone.eval()  # its running statistics stay, too
        return self

    def forward(self, x):
        token = self.attention(self.image_backbone(x), self.landmark_backbone(x))
        return self.head(token), token


# --- losses ---------------------------------------------------------------------------------------------------

def entropy(scores):
    """Eq. 6's confidence, N."""
    return torch.special.entr(torch.softmax(scores, 1)).sum(1)


def anchor_loss(features, scores, labels, left_out=None):
    """Eqs. 7 and 8: of each class, the mean squared distance to its most confident member, over the D features."""
    confidence, loss = entropy(scores.detach()), 0 * features.sum()
    for label in labels.unique():
        if label != left_out:
            members = (labels == label).nonzero().flatten()
            anchor = members[confidence[members].argmin()]
            loss = loss + (features[members] - features[anchor]).square().mean()
    return loss


def neutral_loss(features, labels, neutral):
    """Eq. 9: all pairs of neutral samples, in both orders, over (N_n - 1)^2."""
    f = features[labels == neutral]
    if len(f) < 2:
        return 0 * features.sum()
    return (f.unsqueeze(0) - f.unsqueeze(1)).square().mean(2).sum() / (len(f) - 1) ** 2


def neaa_loss(features, scores, labels, neutral):
    """Eq. 10."""
    return anchor_loss(features, scores, labels, left_out=neutral) + neutral_loss(features, labels, neutral)


def total_loss(features, scores, labels, neutral, weight):
    """Eq. 11."""
    return F.cross_entropy(scores, labels) + weight * neaa_loss(features, scores, labels, neutral)
