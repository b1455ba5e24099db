#!/usr/bin/env python3
"""Run a peer script of bench/compare with two additions.

    bench/peer.py PEER [--cpu-time] [arguments of PEER]

1. The preset `small`, made from the reference network that the peer imports as `reference`: its stem has a stride of 2,
   its last stage a stride of 1.
2. --cpu-time, which measures processor time instead of wall-clock time, for a shared machine.
"""
import os
import runpy
import sys
import time


def add_small(ref):
    """Put `small` among the presets of the reference module."""
    small = dict(stem=16, widths=(24, 48, 96), units=(1, 2, 1), lm_width=32, dim=96, heads=4, mlp_ratio=2, depth=2,
                 pos_embed=True, qkv_bias=True, pre_norm=True, final_norm=True)
    plain = ref.FERNet

    def network(**config):
        net = plain(**config)
        if config == small:
            backbone = net.image_backbone
            backbone.input_layer[0].stride = (2, 2)
            last = backbone.body[-1]
            last.res_layer[3].stride = last.shortcut_layer[0].stride = (1, 1)
        return net

    ref.FERNet = network
    ref.PRESETS["small"] = small


def main():
    peer, arguments = sys.argv[1], sys.argv[2:]
    if "--cpu-time" in arguments:
        arguments.remove("--cpu-time")
        time.perf_counter = time.process_time
    sys.argv = [peer] + arguments
    folder = os.path.dirname(os.path.abspath(peer))
    sys.path[:0] = [folder, os.path.join(folder, "..", "golden")]
    import reference  # noqa: PLC0415  only there once the path is set
    add_small(reference)
    runpy.run_path(peer, run_name="__main__")


if __name__ == "__main__":
    main()
