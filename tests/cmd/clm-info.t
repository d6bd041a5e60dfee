#!/usr/bin/perl
# clm-info.t - what a model is.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $json = JSON::PP->new->utf8;

sub rows { return map { split /\t/, $_, 2 } split /\n/, run('clm-info', @_)->{out} }

for my $family (qw(llama mistral qwen2 qwen3 gemma gemma2 gemma3_text glm4 olmo2 phi3 smollm3)) {
	my %r = rows(golden($family));
	my $c = $json->decode(slurp(golden($family) . '/config.json'));
	is($r{family}, $family, "$family: its family");
	is($r{container}, 'safetensors', "$family: its container");
	is($r{layers}, $c->{num_hidden_layers}, "$family: layers");
	is($r{context}, $c->{max_position_embeddings}, "$family: context");
	is($r{vocabulary}, $c->{vocab_size}, "$family: vocabulary");
	is($r{dtype}, 'bf16', "$family: dtype");
	is($r{weights_bytes}, 2 * $r{parameters}, "$family: two bytes a parameter");
	is($r{cache_memory_per_1k}, 1024 * 2 * 2 * $r{layers} * $r{kv_heads} * $r{head_size}, "$family: cache");
	my $alone = new_dir() . '/x.json';
	spit($alone, slurp(golden($family) . '/config.json'));
	my %a = rows($alone);
	is($a{container}, 'config', "$family: its config alone");
	is($a{parameters}, $r{parameters}, "$family: its parameters from the config alone");
	is(1024 * $a{cache_per_token}, $r{cache_memory_per_1k}, "$family: its cache");
	is($a{memory_f16}, $r{weights_bytes}, "$family: its memory");
	my $j = $json->decode(run('clm-info', '-j', golden($family))->{out});
	is($j->{layers}, $r{layers}, "$family: --json has the same");
	is($j->{parameters}, $r{parameters}, "$family: --json has the same number");
	my @t = split /\n/, run('clm-info', '-t', golden($family))->{out};
	is(shift @t, "name\tdtype\tshape\tbytes\tfile", "$family: --tensors: a header");
	is(scalar @t, $r{tensors}, "$family: --tensors: a line each");
	my $bytes = 0;
	$bytes += (split /\t/)[3] for @t;
	is($bytes, $r{weights_bytes}, "$family: --tensors: the sum");
	is(scalar @{ $json->decode(run('clm-info', '-tj', golden($family))->{out}) }, $r{tensors},
		"$family: --tensors --json");
}
my %r = rows(demo());
like($r{tokenizer}, qr/BPE, \d+ tokens/, 'its tokenizer');
is(run('clm-info', '-m', demo())->{out}, run('clm-info', demo())->{out}, '-m names it as well');
is((rows(demo() . '/config.json'))[3], (rows(demo()))[3], 'any file of it names it');
%r = rows('tests/data/gguf-models/tiny-llama-a-Q4_K_M.gguf');
is("$r{container} $r{family} $r{quantization}", 'gguf llama q4_k', 'a GGUF');
like($r{rope}, qr/^llama3, base 500000$/, 'its rotation');

# ---- the machine
my @devices = split /\n/, run('clm-info', '--devices')->{out};
is(shift @devices, "name\tbackend\tdevice\tunits\tmemory", '--devices: a header');
ok((grep { /^cpu\tcpu\t/ } @devices), '--devices: the cpu');
ok((grep { /^ref\tref\t/ } @devices), '--devices: the reference');
is(scalar @{ $json->decode(run('clm-info', '--devices', '-j')->{out}) }, scalar @devices, '--devices --json');

# ---- tensors that are no model
my $d = new_dir();
spit("$d/x.safetensors", pack('Q<', 80) . sprintf('%-80s', '{"a\tb":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}') . "\0" x 8);
%r = rows("$d/x.safetensors");
is($r{family}, 'none', 'a file that is no model');
like(run('clm-info', '-t', "$d/x.safetensors")->{out}, qr/^a\\x09b\tf32\t\[2\]\t8\tx.safetensors$/m,
	'a name cannot break the table');

my @families = split /\n/, run('clm-info', '--families')->{out};
is(shift @families, "family\tclass\tgguf\thas", '--families: a header');
ok((grep { /^qwen3\tQwen3ForCausalLM\tqwen3\tnorms of q and k/ } @families), '--families: qwen3');
is(scalar @{ $json->decode(run('clm-info', '--families', '-j')->{out}) }, scalar @families, '--families --json');

# ---- refusals
refused(qr{^clm-info: /no/where: }, 'no such model', 'clm-info', '/no/where');
misused(qr/no model/, 'no model', 'clm-info');
misused(qr/found more/, 'two models', 'clm-info', demo(), demo());
misused(qr/expected one of a model/, 'a model and --devices', 'clm-info', '--devices', demo());
spit("$d/config.json", '{"model_type": "llama"}');
refused(qr{^clm-info: \Q$d\E[^:]*: config.json: hidden_size}, 'a config that lacks a number', 'clm-info', $d);
spit("$d/config.json", '{"model_type": "zebra"}');
refused(qr{"zebra" is not among the families}, 'a family that is not known', 'clm-info', $d);
for my $f (glob 'tests/data/malformed/*/*') {
	my $r = run('clm-info', $f);
	ok($r->{signal} == 0 && ($r->{rc} == 0 || ($r->{rc} == 3 && $r->{err} =~ /^clm-info: [^\n]+\n\z/)),
		"$f: an answer") or diag "rc $r->{rc} signal $r->{signal} $r->{err}";
}

done_testing;
