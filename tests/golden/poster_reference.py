"""POSTER in PyTorch, the yardstick of fer's: the names and shapes of the authors' checkpoints, in plain modules.

A network is described by the keys that fer's configuration files have under "model".
"""
import torch
from torch import nn
from torch.nn import functional as F

from reference import ImageBackbone, LandmarkBackbone, attention, fill  # noqa: F401 (fill is for users of this)

DEFAULTS = dict(
    classes=7, image_size=224, backbone_size=112,
    stem=64, stem_stride=1, widths=(64, 128, 256), units=(3, 4, 14), strides=(2, 2, 2),
    lm_width=64, lm_units=(4, 6, 2), lm_head=True, lm_outputs=136,
    heads=8, depth=8, mlp_ratio=2, drop_path=0.1, unused=True)
TINY = dict(image_size=64, backbone_size=32, stem=8, widths=(8, 12, 16), units=(1, 1, 2), lm_width=4,
            lm_units=(1, 1, 1), heads=4, depth=2)


class Cross(nn.Module):
    """Queries of one stream, as they are, on keys and values of the other."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.kv, self.proj = heads, nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, q, x):
        return self.proj(attention(q, *self.kv(x).chunk(2, -1), self.heads))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Fusion(nn.Module):
    """Both streams at one width; then a convolution whose channels are the tokens."""

    def __init__(self, dim, tokens, c):
        super().__init__()
        for i in range(1, 5):
            setattr(self, f"norm{i}", nn.LayerNorm(dim, 1e-6))
        self.attn_img, self.attn_lm = Cross(dim, c["heads"]), Cross(dim, c["heads"])
        self.mlp1, self.mlp2 = Mlp(dim, c["mlp_ratio"] * dim), Mlp(dim, c["mlp_ratio"] * dim)
        self.conv = nn.Conv1d(tokens, tokens, 1)

    def forward(self, x):
        image, landmarks = x.chunk(2, 1)
        image = image + self.attn_img(self.norm1(landmarks), self.norm1(image))
        image = image + self.mlp1(self.norm2(image))
        old_image, _ = x.chunk(2, 1)
        landmarks = landmarks + self.attn_lm(self.norm3(old_image), self.norm3(landmarks))
        landmarks = landmarks + self.mlp2(self.norm4(landmarks))
        return self.conv(torch.cat((image, landmarks), 1))


class Level(nn.Module):
    def __init__(self, dim, tokens, c):
        super().__init__()
        self.block_l, self.block_m, self.block_s = (Fusion(d, tokens, c) for d in (dim, dim // 2, dim // 4))
        self.upsample_m, self.upsample_s = (nn.ConvTranspose1d(tokens, tokens, 2, 2) for _ in "ms")

    def forward(self, wide, middle, narrow):
        narrow = self.block_s(narrow)
        middle = self.block_m(middle) + self.upsample_s(narrow)
        return self.block_l(wide) + self.upsample_m(middle), middle, narrow


class PyramidFuse(nn.Module):
    def __init__(self, dim, pixels, c):
        super().__init__()
        tokens = 2 * (pixels + 1)
        if c["unused"]:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, pixels + 1, dim))
        self.downsample_m, self.downsample_s = (nn.Conv1d(tokens, tokens, k, k) for k in (2, 4))
        self.blocks = nn.ModuleList(Level(dim, tokens, c) for _ in range(c["depth"]))
        self.norm = nn.LayerNorm(dim, 1e-6)

    def forward(self, image, landmarks):
        with_mean = [torch.cat((t.mean(1, keepdim=True), t), 1) for t in (image, landmarks)]
        wide = torch.cat((with_mean[0] + self.pos_embed, with_mean[1]), 1)
        pyramid = wide, self.downsample_m(wide), self.downsample_s(wide)
        for block in self.blocks:
            pyramid = block(*pyramid)
        return self.norm(pyramid[0])[:, 0]


class Gate(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x):
        return x * torch.sigmoid(self.linear2(F.relu(self.linear1(x))))


class Head(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, x):
        return self.linear(x)


class Poster(nn.Module):
    """Images N x 3 x S x S -> class scores N x K and feature N x D, without dropped branches."""

    def __init__(self, **config):
        super().__init__()
        c = self.config = DEFAULTS | config
        dim, pixels = 8 * c["lm_width"], (c["backbone_size"] // 16) ** 2
        self.face_landback = LandmarkBackbone(c).requires_grad_(False)
        self.ir_back = ImageBackbone(c)
        if c["unused"]:
            last = 2 * c["widths"][-1]
            self.ir_back.output_layer = nn.Sequential(
                nn.BatchNorm2d(last), nn.Dropout(0), nn.Flatten(), nn.Linear(last * pixels, last), nn.BatchNorm1d(last))
        self.ir_layer = nn.Linear(4 * c["widths"][-1], dim)
        self.pyramid_fuse = PyramidFuse(dim, pixels, c)
        self.se_block, self.head = Gate(dim), Head(dim, c["classes"])

    def train(self, mode=True):
        super().train(mode)
        self.face_landback.eval()
        return self

    def forward(self, x):
        x = F.interpolate(x, size=self.config["backbone_size"])
        marks = self.face_landback
        landmarks = marks.conv_6_sep(marks.conv_5(marks.conv_45(marks(x)))).flatten(2).mT
        image = self.ir_back.body(self.ir_back.input_layer(x))
        image = self.ir_layer(image.reshape(len(x), landmarks.shape[1], -1))  # channel by channel, as it lies
        token = self.se_block(self.pyramid_fuse(image, landmarks))
        return self.head(token), token
