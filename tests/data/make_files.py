#!/usr/bin/env python3
"""Writes the fixtures in files/ with Pillow and NumPy, the oracles of the image and .npy readers.

    python3 make_files.py        (needs pillow and numpy; the results are kept in the repository)

The files with arithmetic coding, HEIC and AVIF are made by jpegtran (libjpeg-turbo-progs) and heif-enc
(libheif-examples).
"""
import io
import pathlib
import subprocess

import numpy as np
from PIL import Image

here = pathlib.Path(__file__).parent / "files"
here.mkdir(exist_ok=True)
rng = np.random.default_rng(7)


def scene(height, width):
    """Smooth colours with an edge, so that JPEG keeps them well."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([40 + 150 * x / width, 200 - 120 * y / height, 60 + 100 * (x > width * 0.6)], -1)
    return rgb.astype(np.uint8)


# resize: noise, in which every weight matters, and Pillow's results
noise = rng.integers(0, 256, (29, 37, 3), dtype=np.uint8)
Image.fromarray(noise).save(here / "noise_29x37.png")
for height, width in ((112, 112), (8, 9), (29, 14), (58, 37), (1, 1), (30, 36)):
    Image.fromarray(noise).resize((width, height), Image.BILINEAR).save(here / f"noise_to_{height}x{width}.png")
grey = Image.fromarray(noise).convert("L")
grey.save(here / "noise_grey.png")
grey.resize((20, 48), Image.BILINEAR).save(here / "noise_grey_to_48x20.png")

# PNG variants
Image.fromarray(noise).quantize(16).save(here / "palette.png")
Image.fromarray(noise).quantize(16).convert("RGB").save(here / "palette_rgb.png")
Image.fromarray(np.dstack([noise, rng.integers(0, 256, (29, 37), dtype=np.uint8)]), "RGBA").save(here / "alpha.png")
Image.merge("LA", [grey, grey.rotate(180)]).save(here / "grey_alpha.png")
grey16 = rng.integers(0, 65536, (5, 7), dtype=np.uint16)
Image.fromarray(grey16).save(here / "grey16.png")
Image.fromarray((grey16 >> 8).astype(np.uint8)).save(here / "grey16_high.png")
Image.fromarray(np.array([[[10, 200, 30]]], np.uint8)).save(here / "pixel.png")

# JPEG variants, and the pixels that Pillow reads from them
picture = Image.fromarray(scene(24, 32))
picture.save(here / "plain.jpg", quality=95)
picture.save(here / "progressive.jpg", quality=95, progressive=True)
picture.convert("L").save(here / "grey.jpg", quality=95)
picture.convert("CMYK").save(here / "cmyk.jpg", quality=95)
for name in ("plain", "progressive", "cmyk"):
    Image.open(here / f"{name}.jpg").convert("RGB").save(here / f"{name}_rgb.png")
plain = (here / "cmyk.jpg").read_bytes()
at = plain.index(b"\xff\xee")  # the Adobe marker
length = int.from_bytes(plain[at + 2:at + 4], "big")
(here / "cmyk_without_adobe.jpg").write_bytes(plain[:at] + plain[at + 2 + length:])

# EXIF orientation: each file must look like upright.png
Image.fromarray(scene(24, 32)).save(here / "upright.png")
stored = {1: [], 2: [Image.FLIP_LEFT_RIGHT], 3: [Image.ROTATE_180], 4: [Image.FLIP_TOP_BOTTOM], 5: [Image.TRANSPOSE],
          6: [Image.ROTATE_90], 7: [Image.TRANSVERSE], 8: [Image.ROTATE_270]}
for orientation, steps in stored.items():
    turned = Image.fromarray(scene(24, 32))
    for step in steps:
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(here / f"orientation_{orientation}.jpg", quality=98, subsampling=0, exif=exif)
    turned.save(here / f"orientation_{orientation}.png", exif=exif)

# other formats
buffer = io.BytesIO()
picture.save(buffer, "GIF")
(here / "really_a_gif.png").write_bytes(buffer.getvalue())
Image.open(here / "really_a_gif.png").convert("RGB").save(here / "gif_rgb.png")
frames = [picture, picture.rotate(180)]
frames[0].save(here / "animation.gif", save_all=True, append_images=frames[1:])
frames[0].save(here / "animation.webp", save_all=True, append_images=frames[1:], lossless=True)
frames[0].save(here / "pages.tiff", save_all=True, append_images=frames[1:], compression="tiff_lzw")
picture.save(here / "rgb.bmp")
picture.quantize(16).save(here / "palette.bmp")
picture.quantize(16).convert("RGB").save(here / "palette_bmp_rgb.png")
picture.save(here / "lossless.webp", lossless=True)
picture.save(here / "lossy.webp", quality=90)
Image.open(here / "lossy.webp").convert("RGB").save(here / "lossy_webp_rgb.png")
grey.save(here / "grey.tiff", compression="packbits")
Image.fromarray(grey16).save(here / "grey16.tiff")
picture.convert("CMYK").save(here / "cmyk.tiff")
Image.fromarray(scene(24, 32)[:, :, 0] > 100).save(here / "bits.tiff", compression="group4")
Image.fromarray(((scene(24, 32)[:, :, 0] > 100) * 255).astype(np.uint8)).save(here / "bits_grey.png")
for orientation in (3, 6):
    turned = Image.fromarray(scene(24, 32))
    for step in stored[orientation]:
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(here / f"orientation_{orientation}.webp", lossless=True, exif=exif)
    turned.save(here / f"orientation_{orientation}.tiff", compression="tiff_lzw", exif=exif)
for name, flags in (("arithmetic", []), ("arithmetic_progressive", ["-progressive"])):
    subprocess.run(["jpegtran", "-arithmetic", *flags, "-outfile", here / f"{name}.jpg", here / "plain.jpg"], check=True)
large = here / "large.png"
Image.fromarray(scene(96, 128)).save(large)
for name, flags in (("phone.heic", []), ("phone.avif", ["-A"])):
    subprocess.run(["heif-enc", *flags, "-q", "90", "-o", here / name, large], check=True)
large.unlink()

# .npy files as in AffectNet, and unsupported ones
np.save(here / "label_string.npy", np.array("3"))
np.save(here / "label_bytes.npy", np.array(b"4"))
np.save(here / "label_int64.npy", np.array(5))
np.save(here / "label_uint8.npy", np.array([6], np.uint8))
np.save(here / "arousal_string.npy", np.array("-0.0625"))
np.save(here / "arousal_float.npy", np.array(0.25, np.float32))
np.save(here / "points.npy", np.arange(136, dtype=np.float64))
np.save(here / "points_strings.npy", np.array([str(v / 2) for v in range(136)]))
np.save(here / "object.npy", np.array({"a": 1}), allow_pickle=True)
