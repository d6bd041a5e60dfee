#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# quant.t - quantized models against numpy and gguf (scripts/deps --arrays):
# the affine rule in plain words on groups of every kind, block types as
# their reader sees them, and a model of each block type that is read
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);

my $build  = $ENV{BUILD}  || 'build';
my $shared = $ENV{SHARED} || '../shared';
my $data   = "$shared/data";
my ($python) = grep { defined && -x } $ENV{PYTHON}, map { "build/$_/bin/python" } 'venv-arrays', 'venv';
plan skip_all => "no $data"   unless -d $data;
plan skip_all => 'no build/venv-arrays' unless $python;
my $have = `$python -c 'import numpy, safetensors, gguf; print("yes")' 2>&1`;
plan skip_all => 'numpy, safetensors and gguf are not all there' unless $have eq "yes\n";

my $tmp = tempdir(CLEANUP => 1);
my $code = do { local $/; <DATA> };

for my $part (qw(affine blocks models)) {
	open my $f, '>', "$tmp/check.py" or die $!;
	print $f $code;
	close $f or die $!;
	my $said = qx{$python "$tmp/check.py" $part "$build" "$data" "$tmp" 2>&1};

	is($?, 0, $part) or diag($said);
	note($said);
}
done_testing;

__DATA__
import json, os, shutil, subprocess, sys
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T
from safetensors.numpy import load_file, save_file

part, build, data, tmp = sys.argv[1:]


def clm(program, *args):
    r = subprocess.run([f"{build}/clm-{program}", *args], capture_output=True, text=True)
    assert r.returncode == 0, (program, args, r.stderr)
    return r.stdout


def codes_of(words, bits, n):
    """codes lie one after the other, from the lowest bit of each row up"""
    b = np.unpackbits(words.view(np.uint8).reshape(words.shape[0], -1), axis=1, bitorder="little")
    b = b[:, :n * bits].reshape(words.shape[0], n, bits)
    return (b << np.arange(bits, dtype=np.uint32)).sum(-1).astype(np.uint32)


def affine(w, bits, group):
    """The scale steps from the edge of larger magnitude, which is a code times
    the scale, so that zero is a code; the floor is for groups of one value."""
    n = np.float32(2 ** bits - 1)
    g = w.reshape(w.shape[0], -1, group)
    lo, hi = g.min(-1), g.max(-1)
    s = np.maximum((hi - lo) / n, np.float32(1e-7))
    low = np.abs(lo) > np.abs(hi)
    s = np.where(low, s, -s)
    edge = np.where(low, lo, hi)
    q0 = np.rint(edge / s)
    s = np.where(q0 != 0, edge / np.where(q0 != 0, q0, 1), s).astype(np.float32)
    b = np.where(q0 != 0, edge, np.float32(0))
    q = np.clip(np.rint((g - b[..., None]) / s[..., None]), 0, n)
    return q.reshape(w.shape).astype(np.uint32), s, b


def check_affine():
    base = f"{data}/models/derived/stories260K-hf-f32"
    shutil.copytree(base, f"{tmp}/f32")
    os.chmod(f"{tmp}/f32", 0o755)
    w = load_file(f"{base}/model.safetensors")
    rng = np.random.default_rng(5)
    for k, v in w.items():
        if v.ndim != 2:
            continue
        v = rng.normal(size=v.shape).astype(np.float32)
        v[1::8] = 0.75                                # constant
        v[2::8] = -np.abs(v[2::8]) - 1                # negative only
        v[3::8] = 0
        v[4::8] = np.abs(v[4::8])                     # positive only
        v[5::8] *= 1e-9                               # less than the floor
        v[6::8] = rng.standard_t(2, size=v[6::8].shape)
        w[k] = v
    os.remove(f"{tmp}/f32/model.safetensors")
    save_file(w, f"{tmp}/f32/model.safetensors", metadata={"format": "pt"})
    seen = 0
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64):
            out = f"{tmp}/a{bits}-{group}"
            clm("convert", "-q", str(bits), "-g", str(group), f"{tmp}/f32", "-o", out)
            got = load_file(f"{out}/model.safetensors")
            for k, v in w.items():
                if k.replace("weight", "scales") not in got or v.ndim != 2:
                    continue
                q, s, b = affine(v, bits, group)
                assert np.array_equal(codes_of(got[k], bits, v.shape[1]), q), (k, bits, group)
                assert np.array_equal(got[k.replace("weight", "scales")], s), (k, bits, group)
                assert np.array_equal(got[k.replace("weight", "biases")], b), (k, bits, group)
                seen += 1
    assert seen > 100
    print(seen, "matrices")


def check_blocks():
    """what is written, as gguf reads it; its own encoders give the same bytes"""
    demo = load_file("models/demo/model.safetensors")
    w = demo["model.layers.1.mlp.up_proj.weight"].astype(np.float32)
    forms = "q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4 nvfp4"
    for form in forms.split():
        out = f"{tmp}/{form}.gguf"
        clm("quantize", "-q", "-t", form, "models/demo", "-o", out)
        clm("convert", "--quiet", "--dequantize", "--dtype", "f32", out, "-o", f"{tmp}/{form}.safetensors")
        t = {t.name: t for t in gguf.GGUFReader(out).tensors}["blk.1.ffn_up.weight"]
        want = gguf.quants.dequantize(t.data, t.tensor_type)
        got = load_file(f"{tmp}/{form}.safetensors")["model.layers.1.mlp.up_proj.weight"]
        assert want.shape == got.shape and np.allclose(want, got, rtol=3e-7, atol=1e-12), form
        if t.tensor_type in (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0):
            assert gguf.quants.quantize(w, t.tensor_type).tobytes() == t.data.tobytes(), form
        os.remove(out)
        print(form, t.tensor_type.name)


def with_blocks(path, kind):
    """tiny-llama-c, its rows of whole blocks replaced by blocks of a type"""
    src = f"{data}/gguf-models/tiny-llama-c-Q6_K.gguf"
    r = gguf.GGUFReader(src)
    raw = open(src, "rb").read()
    keys = raw[24:int(r.tensors[0].field.offset)]
    vector = open(f"{data}/gguf-quants/{kind.name}.bin", "rb").read()
    block, size = gguf.GGML_QUANT_SIZES[kind]
    part = 256 // block * size
    rng = np.random.default_rng(7)
    info, body = b"", b""
    for t in r.tensors:
        dims = [int(d) for d in t.shape]
        bytes_, k = t.data.tobytes(), t.tensor_type
        if dims[0] % 256 == 0 and len(dims) == 2:
            n = dims[0] * dims[1] // 256
            # groups 1 and 2 of the vectors are normal, 0.02 wide
            bytes_ = b"".join(vector[g * part:(g + 1) * part] for g in rng.integers(1, 3, n))
            k = kind
        body += b"\0" * (-len(body) % 64)
        info += len(t.name).to_bytes(8, "little") + t.name.encode() + len(dims).to_bytes(4, "little")
        info += b"".join(d.to_bytes(8, "little") for d in dims)
        info += int(k).to_bytes(4, "little") + len(body).to_bytes(8, "little")
        body += bytes_
    head = raw[:24] + keys + info
    align = gguf.GGUFReader(src).alignment
    open(path, "wb").write(head + b"\0" * (-len(head) % align) + body)


def check_models():
    text = f"{tmp}/text"
    open(text, "w").write("The cat sat on the mat, and 12 dogs sat there too.")
    ids = "320 5 9 42 7 100 3 250"
    for kind in T:
        if not os.path.exists(f"{data}/gguf-quants/{kind.name}.bin") or kind.name in ("Q8_1", "Q8_K"):
            continue
        path = f"{tmp}/{kind.name}.gguf"
        with_blocks(path, kind)
        clm("convert", "--quiet", "--dequantize", "--dtype", "f32", path, "-o", f"{tmp}/{kind.name}")
        got = load_file(f"{tmp}/{kind.name}/model.safetensors")["model.layers.0.mlp.up_proj.weight"]
        t = {t.name: t for t in gguf.GGUFReader(path).tensors}["blk.0.ffn_up.weight"]
        try:
            want = gguf.quants.dequantize(t.data, t.tensor_type)
            assert np.allclose(want, got, rtol=3e-7, atol=1e-12), kind
        except NotImplementedError:
            pass
        ppl = [float(clm("score", "-m", m, "--device", "cpu", "--exact", text).split()[-1])
               for m in (path, f"{tmp}/{kind.name}")]
        assert abs(ppl[0] / ppl[1] - 1) < 1e-4, (kind, ppl)
        run = [clm("infer", "-m", m, "--device", "cpu", "--exact", "--ids", "-n", "8", "--ignore-eos", "-p", ids)
               for m in (path, f"{tmp}/{kind.name}")]
        assert run[0] == run[1] and len(run[0].split()) == 8, (kind, run)
        print(kind.name, *ppl)


{"affine": check_affine, "blocks": check_blocks, "models": check_models}[part]()
