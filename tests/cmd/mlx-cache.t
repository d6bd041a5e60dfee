#!/usr/bin/perl
# mlx-cache.t - prompt caches go both ways between clm and mlx_lm: what one
# computed, the other goes on from, with the tokens it would have made itself.
# Needs mlx_lm (scripts/deps --python); skipped without.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my ($python) = map { m{(.*)/lib/} ? "$1/bin/python" : () }
    glob 'build/venv*/lib/python3*/site-packages/mlx_lm';
plan skip_all => 'no mlx_lm under build/venv*' if !$python || !-x $python;

my $d = new_dir();
my $mlx = spit("$d/go_on.py", do { local $/; <DATA> });
my @prompt = (606, 1760, 289, 271, 3281);

# What mlx_lm makes: mlx(MODEL, IN, OUT, N, ID...)
sub mlx
{
	my $r = run($python, $mlx, @_);

	is($r->{rc}, 0, 'mlx_lm ran') or diag $r->{err};
	return $r->{out};
}

sub clm
{
	my ($model, $ids, @rest) = @_;
	my $r = run({ in => "@$ids\n" }, 'clm-infer', '-m', $model, '--ids', '--device', 'cpu', '--exact',
		'--ignore-eos', @rest);

	is($r->{rc}, 0, 'clm-infer ran') or diag $r->{err};
	return $r->{out};
}

# A model of the given layers: mistral's weights, sliding over 16 positions.
sub sliding
{
	my @layers = @_;
	my $dir = new_dir();
	my $config = slurp(golden('mistral') . '/config.json');
	my $types = join ', ', map { "\"${_}_attention\"" } @layers;

	$config =~ s/\{/{ "layer_types": [$types],/;
	spit("$dir/config.json", $config);
	spit("$dir/model.safetensors", slurp(golden('mistral') . '/model.safetensors'));
	return $dir;
}

sub both_ways
{
	my ($name, $model, @ids) = @_;
	my $whole = mlx($model, '-', '-', 24, @ids);
	my @made = split ' ', $whole;

	is(clm($model, \@ids, '-n', 24), $whole, "$name: the same tokens alone");

	# clm computes prompt and 8 tokens, the last of them too
	is(clm($model, \@ids, '-n', 8, '--save-cache', "$d/clm.safetensors"), "@made[0 .. 7]\n",
		"$name: clm saves");
	is(mlx($model, "$d/clm.safetensors", '-', 15, $made[8]), "@made[9 .. 23]\n",
		"$name: mlx_lm goes on from clm's cache");

	# mlx_lm computes the prompt and 7 tokens; the 8th is fed to clm
	mlx($model, '-', "$d/mlx.safetensors", 8, @ids);
	is(clm($model, [$made[7]], '-n', 16, '--load-cache', "$d/mlx.safetensors"),
		"@made[8 .. 23]\n", "$name: clm goes on from mlx_lm's cache");
}

both_ways('full', demo(), @prompt);
both_ways('full, long', demo(), (@prompt) x 60);
for my $n (3, 16, 40) {
	both_ways("sliding, $n", sliding(qw(sliding full sliding)), map { 3 + 7 * $_ % 300 } 1 .. $n);
}

# the programs themselves
my $r = run($python, '-m', 'mlx_lm', 'cache_prompt', '--model', demo(), '--prompt', 'The hacker',
	'--prompt-cache-file', "$d/cli.safetensors");
is($r->{rc}, 0, 'mlx_lm cache_prompt') or diag $r->{err};
$r = run({ in => ' was' }, 'clm-infer', '-m', demo(), '-n', 4, '--load-cache', "$d/cli.safetensors");
is($r->{rc}, 0, 'clm-infer --load-cache of it') or diag $r->{err};
$r = run({ in => 'The hacker' }, 'clm-infer', '-m', demo(), '-n', 4, '--save-cache',
	"$d/clm.safetensors");
is($r->{rc}, 0, 'clm-infer --save-cache') or diag $r->{err};
$r = run($python, '-m', 'mlx_lm', 'generate', '--model', demo(), '--prompt', ' was', '-m', 4,
	'--ignore-chat-template', '--prompt-cache-file', "$d/clm.safetensors");
is($r->{rc}, 0, 'mlx_lm generate of it') or diag $r->{err};
done_testing();

__DATA__
# go_on.py MODEL IN OUT N ID...: feeds ids after the cache IN, makes N tokens,
# the best each time, in f32; saves the cache to OUT. "-" is no cache.
import sys
from pathlib import Path

import mlx.core as mx
from mlx_lm.models.cache import load_prompt_cache, make_prompt_cache, save_prompt_cache
from mlx_lm.utils import load_model

path, load, save, n, *ids = sys.argv[1:]
model, _ = load_model(Path(path))
model.set_dtype(mx.float32)
cache = make_prompt_cache(model) if load == "-" else load_prompt_cache(load)
made, ids = [], [int(i) for i in ids]
for _ in range(int(n)):
    ids = [mx.argmax(model(mx.array([ids]), cache=cache)[0, -1]).item()]
    made += ids
if save != "-":
    save_prompt_cache(save, cache, {"model": path})
print(*made)
