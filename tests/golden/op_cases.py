"""The operations' golden cases: PyTorch's outputs and gradients for small inputs.

A case has an id, an operation, its attributes, and the names of its inputs, outputs and gradients. Its tensors are
<id>/in/<input>, <id>/out/<output>, <id>/upstream/<output> and <id>/grad/<input>; the gradients are those of the sum of
<output * upstream>. Integer inputs are int64. Everything is in PyTorch's layout: N x C x H x W, O x I x kh x kw.
"""
import torch
from torch.nn import functional as F

import reference
from reference import uniform


class Cases:
    def __init__(self, salt):
        self.salt, self.descriptions, self.tensors, self.counts = salt, [], {}, {}

    def next_id(self, op):
        return f"{op}_{self.counts.get(op, 0)}"

    def values(self, op, name, shape, low=-2.0, high=2.0):
        u = uniform(f"{self.salt}{self.next_id(op)}/{name}", *shape)
        return (low + high) / 2 + (high - low) / 2 * u

    def labels(self, op, count, classes):
        return (self.values(op, "labels", (count,), 0, classes)).floor().long()

    def add(self, op, function, attributes=None, **inputs):
        """Runs function(**inputs), which returns the outputs by name. An input that is a shape gets values in [-2, 2)."""
        id = self.next_id(op)
        inputs = {name: self.values(op, name, value) if isinstance(value, tuple) else value
                  for name, value in inputs.items()}
        leaves = {name: value.clone().requires_grad_(value.is_floating_point()) for name, value in inputs.items()}
        outputs = function(**leaves)
        upstream = {name: uniform(f"{self.salt}{id}/upstream/{name}", *y.shape) for name, y in outputs.items()
                    if y.requires_grad}
        if upstream:
            torch.autograd.backward([outputs[name] for name in upstream], list(upstream.values()))
        gradients = {name: x.grad for name, x in leaves.items() if x.grad is not None}
        for kind, group in dict(out=outputs, upstream=upstream, grad=gradients).items():
            self.tensors |= {f"{id}/{kind}/{name}": value.detach().clone() for name, value in group.items()}
        self.tensors |= {f"{id}/in/{name}": value for name, value in inputs.items()}
        self.descriptions.append(dict(id=id, op=op, attrs=attributes or {}, inputs=list(inputs), outputs=list(outputs),
                                      grads=list(gradients)))
        self.counts[op] = self.counts.get(op, 0) + 1


def elementwise(c):
    unary = dict(relu=F.relu, sigmoid=torch.sigmoid)
    for shape in ((3, 4, 2, 5), (9,), (1, 37)):
        for op, f in unary.items():
            c.add(op, lambda x, f=f: dict(y=f(x)), x=shape)
        c.add("gelu", lambda x: dict(y=F.gelu(x)), dict(approximate="none"), x=c.values("gelu", "x", shape, -7, 7))
        c.add("scale", lambda x: dict(y=-0.75 * x), dict(alpha=-0.75), x=shape)
        for op, f in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
            c.add(op, lambda x, f=f: dict(y=f(x, -1)), dict(dim=-1), x=c.values(op, "x", shape, -30, 30))
            if len(shape) > 1:
                c.add(op, lambda x, f=f: dict(y=f(x, 1)), dict(dim=1), x=shape)
    for a, b in (((2, 3, 5), (3, 1)), ((4, 6), (4, 6)), ((2, 1, 3, 4), (2, 7, 3, 4)), ((5,), (1,))):
        c.add("add", lambda a, b: dict(y=a + b), a=a, b=b)
        c.add("sub", lambda a, b: dict(y=a - b), a=a, b=b)
        c.add("mul", lambda a, b: dict(y=a * b), a=a, b=b)
    for shape in ((2, 3, 4, 5), (5, 11), (1, 1, 1, 1)):
        c.add("prelu", lambda x, weight: dict(y=F.prelu(x, weight)), x=shape, weight=(shape[1],))
    for p in (0.5, 0.1):
        mask = (c.values("dropout_mask", "mask", (5, 7), 0, 1) >= p).long()
        c.add("dropout_mask", lambda x, mask, p=p: dict(y=x * mask / (1 - p)), dict(p=p), x=(5, 7), mask=mask)


def shapes(c):
    for shape in ((3, 4), (2, 5, 3), (1,)):
        c.add("sum", lambda x: dict(y=x.sum()), x=shape)
        c.add("mean", lambda x: dict(y=x.mean()), x=shape)
    for small, large in (((3, 1), (2, 3, 4)), ((1, 1), (5, 6)), ((4,), (3, 4))):
        c.add("broadcast_to", lambda x, shape=large: dict(y=x.expand(shape)), dict(shape=large), x=small)
        c.add("sum_to", lambda x, shape=small: dict(y=x.sum_to_size(shape)), dict(shape=small), x=large)
    for dim, parts in ((1, ((2, 1, 4), (2, 6, 4))), (0, ((2, 3), (5, 3))), (2, ((1, 2, 3), (1, 2, 1)))):
        c.add("concat", lambda a, b, dim=dim: dict(y=torch.cat((a, b), dim)), dict(dim=dim), a=parts[0], b=parts[1])
    for dim, start, length in ((0, 1, 2), (1, 0, 1), (2, 3, 4)):
        c.add("slice", lambda x, at=(dim, start, length): dict(y=x.narrow(*at)),
              dict(dim=dim, start=start, length=length), x=(3, 2, 7))
    for order in ((2, 0, 1), (0, 2, 1), (3, 1, 0, 2)):
        shape = (2, 3, 4, 5)[:len(order)]
        c.add("permute", lambda x, order=order: dict(y=x.permute(order)), dict(order=order), x=shape)
    for shape, first in (((2, 3, 4, 5), 2), ((3, 2, 6), 2)):
        c.add("transpose", lambda x, first=first: dict(y=x.flatten(first).mT), dict(flatten_from=first), x=shape)
    c.add("reshape", lambda x: dict(y=x.reshape(4, 6)), dict(shape=(4, 6)), x=(2, 3, 4))


def products(c):
    for a, b in (((1, 1), (1, 1)), ((5, 3), (3, 9)), ((3, 4, 7), (3, 7, 2)), ((2, 3, 6, 5), (2, 3, 5, 17))):
        c.add("matmul", lambda a, b: dict(y=a @ b), a=a, b=b)
    for shape, outputs in (((1, 1), 1), ((3, 5), 7), ((2, 4, 6), 3), ((2, 17, 24), 33)):
        weight, bias = (outputs, shape[-1]), (outputs,)
        c.add("linear", lambda x, weight: dict(y=F.linear(x, weight)), x=shape, weight=weight)
        c.add("linear", lambda x, weight, bias: dict(y=F.linear(x, weight, bias)), x=shape, weight=weight, bias=bias)
        c.add("linear_gelu", lambda x, weight, bias: dict(y=F.gelu(F.linear(x, weight, bias))), x=shape, weight=weight,
              bias=bias)
    for queries, keys, dim, heads in ((4, 4, 6, 2), (1, 3, 5, 1), (17, 33, 12, 3), (50, 50, 16, 2)):
        shape = (2, keys, dim)
        c.add("attention", lambda q, k, v, heads=heads: dict(y=reference.attention(q, k, v, heads)), dict(heads=heads),
              q=(2, queries, dim), k=shape, v=shape)
    far = {name: c.values("attention", name, (1, 7, 6), -60, 60) for name in "qk"}  # exp() of these scores overflows
    c.add("attention", lambda q, k, v: dict(y=reference.attention(q, k, v, 3)), dict(heads=3), v=(1, 7, 6), **far)


def convolutions(c):
    def conv(x, outputs, kernel, stride=1, padding=0, groups=1, bias=False):
        more = dict(bias=(outputs,)) if bias else {}
        c.add("conv2d", lambda x, weight, bias=None: dict(y=F.conv2d(x, weight, bias, stride, padding, 1, groups)),
              dict(stride=stride, padding=padding, groups=groups), x=x,
              weight=(outputs, x[1] // groups, kernel, kernel), **more)
    conv((2, 3, 7, 9), 5, kernel=3, padding=1)
    conv((1, 4, 8, 8), 3, kernel=3, stride=2, padding=1, bias=True)
    conv((3, 5, 4, 4), 6, kernel=1, bias=True)
    conv((2, 6, 9, 5), 4, kernel=1, stride=2)
    conv((1, 2, 11, 10), 3, kernel=5, stride=2, padding=2)
    conv((1, 3, 7, 6), 2, kernel=2, stride=3, padding=1)
    conv((1, 16, 9, 9), 24, kernel=3, padding=1)
    conv((2, 4, 5, 6), 6, kernel=3, padding=1, groups=2, bias=True)
    conv((2, 5, 6, 7), 5, kernel=3, padding=1, groups=5)  # depthwise from here on
    conv((1, 9, 8, 9), 9, kernel=3, stride=2, padding=1, groups=9, bias=True)
    conv((2, 4, 7, 7), 4, kernel=7, groups=4)
    for kernel, stride in ((1, 2), (2, 2), (3, 2), (2, 1)):
        c.add("max_pool2d", lambda x, at=(kernel, stride): dict(y=F.max_pool2d(x, *at)),
              dict(kernel=kernel, stride=stride), x=(2, 3, 7, 8))
    c.add("global_avg_pool2d", lambda x: dict(y=x.mean((2, 3))), x=(2, 3, 5, 4))
    c.add("global_avg_pool2d", lambda x: dict(y=x.mean((2, 3))), x=(1, 7, 1, 1))


def norms(c):
    def batch_norm(training, momentum):
        def run(x, weight, bias, running_mean, running_var):
            mean, var = running_mean.detach().clone(), running_var.detach().clone()
            y = F.batch_norm(x, mean, var, weight, bias, training, momentum, 1e-5)
            return dict(y=y, running_mean=mean, running_var=var) if training else dict(y=y)
        return run
    for shape, momentum in (((2, 5, 4, 7), 0.1), ((3, 1, 1, 2), 0.1), ((7, 6), 0.25), ((2, 17, 3, 3), 0.1)):
        for op in ("batch_norm_train", "batch_norm_eval"):
            training = op == "batch_norm_train"
            c.add(op, batch_norm(training, momentum), dict(eps=1e-5) | (dict(momentum=momentum) if training else {}),
                  x=c.values(op, "x", shape, 1, 9), weight=shape[1:2], bias=shape[1:2], running_mean=shape[1:2],
                  running_var=c.values(op, "running_var", shape[1:2], 0.5, 3))
    for shape in ((2, 3, 24), (5, 7), (1, 9, 33), (3, 2)):
        c.add("layer_norm", lambda x, weight, bias: dict(y=F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6)),
              dict(eps=1e-6), x=c.values("layer_norm", "x", shape, -9, 3), weight=shape[-1:], bias=shape[-1:])


def heat_maps(c):
    for kind in ("max", "sum", "abs_sum"):
        for shape in ((2, 6, 3, 5), (1, 33, 7, 7)):
            c.add("heatmap_" + kind, lambda f, kind=kind: dict(h=reference.heat_map(f, kind)), f=shape)
        for channels in (4, 17):
            c.add("heatmap_product",
                  lambda f_lm, f_img, kind=kind: dict(fusion=reference.heat_map(f_lm, kind) * f_img), dict(kind=kind),
                  f_lm=(2, 5, 3, 4), f_img=(2, channels, 3, 4))


def losses(c):
    for samples, classes in ((1, 7), (6, 7), (17, 8), (64, 3)):
        def scores(op):
            return c.values(op, "scores", (samples, classes), -6, 6)
        for smoothing in (0.0, 0.2):
            c.add("cross_entropy", lambda scores, labels, s=smoothing: dict(
                loss=F.cross_entropy(scores, labels, label_smoothing=s)),
                dict(label_smoothing=smoothing) if smoothing else {}, scores=scores("cross_entropy"),
                labels=c.labels("cross_entropy", samples, classes))
        c.add("entropy", lambda scores: dict(h=reference.entropy(scores)), scores=scores("entropy"))
        target = torch.softmax(c.values("soft_cross_entropy", "target", (samples, classes)), 1)
        c.add("soft_cross_entropy", lambda scores, target: dict(loss=F.cross_entropy(scores, target)),
              scores=scores("soft_cross_entropy"), target=target)
    runs = dict(
        anchor_loss=lambda f, s, l, neutral: reference.anchor_loss(f, s, l),
        neutral_loss=lambda f, s, l, neutral: reference.neutral_loss(f, l, neutral),
        neaa_loss=reference.neaa_loss,
        total_loss=lambda f, s, l, neutral: reference.total_loss(f, s, l, neutral, 0.01))
    for samples, dim, classes, neutral in ((1, 4, 7, 6), (6, 5, 3, 2), (24, 16, 7, 6), (70, 9, 8, 0), (9, 4, 2, 1)):
        for op, loss in runs.items():
            attributes = dict(classes=classes, neutral=neutral) | (dict(weight=0.01) if op == "total_loss" else {})
            c.add(op, lambda features, scores, labels, loss=loss, neutral=neutral: dict(
                loss=loss(features, scores, labels, neutral)), attributes, features=(samples, dim),
                scores=(samples, classes), labels=c.labels(op, samples, classes))
    near = c.values("neutral_loss", "features", (8, 6), 999.999, 1000.001)  # equal but for the last digits
    c.add("neutral_loss", lambda features, scores, labels: dict(loss=reference.neutral_loss(features, labels, 1)),
          dict(classes=2, neutral=1), features=near, scores=(8, 2), labels=torch.ones(8, dtype=torch.int64))


def optimizers(c):
    """Some steps on given gradients, one per row."""
    def steps(make):
        def run(param, gradients):
            p = param.detach().clone()
            optimizer = make([p])
            for gradient in gradients.detach():
                p.grad = gradient.clone()
                optimizer.step()
            return dict(param=p)
        return run
    adam = dict(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8)
    for op, decay in (("adam", 0.0), ("adam", 0.1), ("adamw", 0.0), ("adamw", 0.1)):
        kind = torch.optim.Adam if op == "adam" else torch.optim.AdamW
        c.add(op, steps(lambda p: kind(p, 0.01, (0.9, 0.999), 1e-8, decay)), adam | dict(weight_decay=decay),
              param=(11,), gradients=(4, 11))
    for momentum, decay, nesterov in ((0.0, 0.0, False), (0.9, 0.01, False), (0.9, 0.01, True)):
        c.add("sgd", steps(lambda p: torch.optim.SGD(p, 0.1, momentum, weight_decay=decay, nesterov=nesterov)),
              dict(lr=0.1, momentum=momentum, weight_decay=decay, nesterov=nesterov), param=(11,), gradients=(4, 11))


def op_cases(salt):
    cases = Cases(salt)
    for group in (elementwise, shapes, products, convolutions, norms, heat_maps, losses, optimizers):
        group(cases)
    return cases
