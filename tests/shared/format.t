#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# format.t - what clm-convert writes, as the reference readers see it (numpy,
# safetensors, gguf, MLX: those that build/venv has), what they write as
# clm-convert sees it, and broken files, which leave one line and no output
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use JSON::PP;

my $build  = $ENV{BUILD}  || 'build';
my $shared = $ENV{SHARED} || '../shared';
my $data   = "$shared/data";
plan skip_all => "no $data" unless -d $data;

my $tmp    = tempdir(CLEANUP => 1);
my $python = $ENV{PYTHON} || 'build/venv/bin/python';

sub slurp {
	open my $f, '<', $_[0] or die "$_[0]: $!";
	local $/;
	return <$f> // '';
}

sub convert_ok {
	my ($from, $to, @options) = @_;

	is(system("$build/clm-convert", '--quiet', $from, '-o', "$tmp/$to", @options), 0,
		"written: $to @options");
}

# ---- broken files
for my $folder (qw(gguf llama2c npy npz safetensors)) {
	my $cases = decode_json(slurp("$data/malformed/$folder/cases.json"))->{cases};
	my @wrong;

	for my $c (@$cases) {
		my $path = "$data/malformed/$folder/$c->{file}";
		my $out  = "$tmp/out.npz";
		my $rc   = system("$build/clm-convert --quiet $path -o $out </dev/null >$tmp/o 2>$tmp/e") >> 8;
		my $said = slurp("$tmp/e");

		if ($c->{verdict} eq 'refuse') {
			push @wrong, "$c->{file}: exit $rc: $said"
			    unless $rc == 3 && $said =~ /\A[^\n]*\Q$c->{file}\E[^\n]*\n\z/ && !-s "$tmp/o";
		} elsif ($rc != 0 && $rc != 3) {
			push @wrong, "$c->{file}: exit $rc: $said";
		}
		push @wrong, "$c->{file}: an output is left" if $rc && glob "$tmp/out.npz*";
		unlink $out;
	}
	ok(!@wrong, "$folder: each refusal is exit 3, a line, and no output") or diag(@wrong);
}

# ---- what others read
my %models = (hf => "$data/models/derived/stories260K-hf-f32", bf16 => "$data/golden/llama");

for my $m (sort keys %models) {
	convert_ok($models{$m}, "$m.npz");
	convert_ok($models{$m}, "$m-deflated.npz", '--deflate');
	convert_ok($models{$m}, "$m.safetensors");
	convert_ok($models{$m}, "$m-shards", '--format', 'hf', '--shard-size', '100k');
	convert_ok("$tmp/$m-shards", "$m-back.npz");
	is(slurp("$tmp/$m-back.npz"), slurp("$tmp/$m.npz"), "$m: through shards and back: the same bytes");
}
convert_ok($models{hf}, 'hf.gguf');

SKIP: {
	skip "no $python", 2 unless -x $python;
	my $have = `$python -c 'import numpy, safetensors, gguf; print("yes")' 2>&1`;
	skip 'numpy, safetensors and gguf are not all there', 2 unless $have eq "yes\n";

	my $said = qx{$python - "$data" "$tmp" 2>&1 <<'PY'
@{[ slurp_data() ]}
PY
};
	is($?, 0, 'the references agree') or diag($said);
	my @written = glob "$tmp/ref-*";
	my @wrong   = grep { system("$build/clm-convert --quiet $_ -o $tmp/again.npz") } @written;
	ok(@written && !@wrong, scalar(@written) . ' files of theirs are read') or diag("@wrong");
}
done_testing;

sub slurp_data {
	local $/;
	return <DATA>;
}

__DATA__
import glob, json, sys
import numpy as np
import gguf
from safetensors import safe_open

data, tmp = sys.argv[1:]
models = {"hf": data + "/models/derived/stories260K-hf-f32", "bf16": data + "/golden/llama"}
try:
    import mlx.core as mx
except ImportError:
    mx = None


def plain(path):
    """name -> (tag, shape, bytes), read by hand: numpy knows no bfloat16"""
    with open(path, "rb") as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        rest = f.read()
    head.pop("__metadata__", None)
    return {k: (v["dtype"], tuple(v["shape"]), rest[slice(*v["data_offsets"])]) for k, v in head.items()}


for m, path in models.items():
    want = plain(path + "/model.safetensors")
    for suffix in ("", "-deflated"):
        z = np.load(f"{tmp}/{m}{suffix}.npz")
        names = {k for k in z.files if not k.startswith("clm/")}
        assert names == set(want), (m, names ^ set(want))
        for k in names:
            assert (z[k].shape, z[k].tobytes()) == want[k][1:], k
        assert json.loads(bytes(z["clm/config.json"])) == json.load(open(path + "/config.json"))
        if mx:
            z = mx.load(f"{tmp}/{m}{suffix}.npz")
            ref = mx.load(path + "/model.safetensors")
            assert all(z[k].dtype == v.dtype and mx.array_equal(z[k], v) for k, v in ref.items())
    shards = sorted(glob.glob(f"{tmp}/{m}-shards/*.safetensors"))
    assert len(shards) > 1
    index = json.load(open(f"{tmp}/{m}-shards/model.safetensors.index.json"))
    seen = {}
    for path in shards + [f"{tmp}/{m}.safetensors"]:
        with safe_open(path, "np") as f:
            names = set(f.keys())
        got = plain(path)
        assert set(got) == names
        if path in shards:
            assert all(index["weight_map"][k] == path.split("/")[-1] for k in names)
            seen.update(got)
        else:
            assert got == want, path
    assert seen == want and set(index["weight_map"]) == set(want)

r = gguf.GGUFReader(f"{tmp}/hf.gguf")
assert r.fields["general.architecture"].contents() == "llama"
assert r.alignment == 64 and all(t.data_offset % 64 == 0 for t in r.tensors)
t = {t.name: t for t in r.tensors}["token_embd.weight"]
assert t.data.tobytes() == plain(models["hf"] + "/model.safetensors")["model.embed_tokens.weight"][2]

rng = np.random.default_rng(1)
a = {
    "f4": rng.normal(size=(3, 5)).astype("<f4"), "f2": rng.normal(size=7).astype("<f2"),
    "turned": np.asfortranarray(rng.normal(size=(5, 4, 3))), "big": np.arange(6, dtype=">i4").reshape(2, 3),
    "truth": np.array([True, False]), "none": np.zeros((0, 4), "<f4"), "one": np.float32(3),
}
np.savez(f"{tmp}/ref-numpy.npz", **a)
np.savez_compressed(f"{tmp}/ref-numpy-packed.npz", **a)
from safetensors.numpy import save_file
save_file({k: np.ascontiguousarray(v.astype(v.dtype.newbyteorder("="))) for k, v in a.items()}, f"{tmp}/ref-st.safetensors")
if mx:
    b = {k: mx.array(v.astype(v.dtype.newbyteorder("="))) for k, v in a.items() if v.dtype.itemsize < 8}
    b["bf"] = mx.array([1.5, 2.25]).astype(mx.bfloat16)
    b["view"] = mx.array(a["f4"]).T
    mx.savez(f"{tmp}/ref-mlx.npz", **b)
    mx.savez_compressed(f"{tmp}/ref-mlx-packed.npz", **b)
    mx.save_safetensors(f"{tmp}/ref-mlx.safetensors", b)
