#!/usr/bin/perl
# clm-convert.t - models through every container and back, and what is
# refused on the way.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $c = 'clm-convert';
my $d = new_dir();
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub convert
{
	my $r = run($c, @_);

	is($r->{rc} . $r->{err}, '0', "convert @_");
	return $r;
}

# name -> [dtype, shape, bytes] of a directory's safetensors
sub tensors
{
	my ($dir) = @_;
	my %t;

	for my $path (-d $dir ? glob "$dir/*.safetensors" : $dir) {
		my $file = slurp($path);
		my $n = unpack 'Q<', $file;
		my $head = $json->decode(substr $file, 8, $n);

		delete $head->{__metadata__};
		for my $name (keys %$head) {
			my ($from, $to) = @{ $head->{$name}{data_offsets} };
			$t{$name} = join ' ', $head->{$name}{dtype}, "@{ $head->{$name}{shape} }",
				unpack 'H*', substr $file, 8 + $n + $from, $to - $from;
		}
	}
	return \%t;
}

sub config { return $json->decode(slurp("$_[0]/config.json")) }

sub greedy
{
	my ($model, @ids) = @_;
	my $r = run('clm-infer', '-m', $model, '--device', 'cpu', '--exact', '--ids', '-n', 12, '--ignore-eos',
		'-p', "@ids");

	diag $r->{err} if $r->{rc};
	return $r->{out};
}

# ---- directory -> npz -> gguf -> directory: every bit, the same numbers
# (a GGUF's smollm3 has no say in which layers rotate: every fourth does not)
mkdir "$d/in";
run('sh', '-c', "cp -r tests/data/golden/smollm3 $d/in/smollm3 && chmod -R u+w $d/in");
my $every4 = config("$d/in/smollm3");
$every4->{no_rope_layers} = [map { $_ % 4 ? 1 : 0 } 1 .. $every4->{num_hidden_layers}];
spit("$d/in/smollm3/config.json", $json->encode($every4));
for my $family (qw(llama mistral qwen2 qwen3 gemma gemma2 gemma3_text glm4 olmo2 phi3 smollm3)) {
	my $in = -d "$d/in/$family" ? "$d/in/$family" : golden($family);
	my $want = greedy($in, 1, 5, 9, 42);

	convert($in, '-o', "$d/$family.npz");
	convert("$d/$family.npz", '-o', "$d/$family.gguf");
	convert("$d/$family.gguf", '-o', "$d/$family");
	is_deeply(tensors("$d/$family"), tensors($in), "$family: every bit came back");
	is(greedy("$d/$family$_", 1, 5, 9, 42), $want, "$family$_ goes on alike") for '', '.npz', '.gguf';
	my ($was, $is) = (config($in), config("$d/$family"));
	my @keys = grep { defined $was->{$_} } qw(model_type hidden_size num_hidden_layers
		num_attention_heads num_key_value_heads rms_norm_eps rope_theta rope_scaling
		sliding_window vocab_size tie_word_embeddings max_position_embeddings torch_dtype
		bos_token_id eos_token_id
		hidden_act hidden_activation attention_bias query_pre_attn_scalar
		attn_logit_softcapping final_logit_softcapping rope_local_base_freq no_rope_layers);
	is_deeply({ map { $_ => $is->{$_} } @keys }, { map { $_ => $was->{$_} } @keys },
		"$family: the config means the same");

	# one container's bytes do not tell where the model came from
	convert($in, '-o', "$d/x.gguf");
	ok(slurp("$d/x.gguf") eq slurp("$d/$family.gguf"), "$family: the same GGUF from a directory");
	convert("$d/$family.gguf", '-o', "$d/x.gguf");
	convert("$d/x.gguf", '-o', "$d/y.gguf");
	ok(slurp("$d/x.gguf") eq slurp("$d/y.gguf"), "$family: GGUF to GGUF stays");
}

# ---- eight bits of norms that are stored less one, and of fused matrices
for my $family (qw(gemma3_text glm4 phi3)) {
	my $in = golden($family);

	convert('-q', 8, '-g', 32, $in, '-o', "$d/$family-q8");
	convert("$d/$family-q8", '-o', "$d/$family-q8.npz");
	is(greedy("$d/$family-q8.npz", 1, 5, 9, 42), greedy("$d/$family-q8", 1, 5, 9, 42),
		"$family: eight bits go on alike");
	ok(-s "$d/$family-q8.npz" < 0.8 * -s "$d/$family.npz", "$family: eight bits are less");
}
refused(qr{every 4th layer without rotation}, 'layers without rotation have no key in a GGUF',
	$c, golden('smollm3'), '-o', "$d/z.gguf");

# ---- the tokenizer goes along
my $m = demo();
my $text = "The hacker said: \"na\xc3\xafve\"\n\tcaf\xc3\xa9 \xf0\x9f\x98\x80 1984. <|im_end|> don't\n";
my $ids = run({ in => $text }, 'clm-tokenize', '-m', $m)->{out};
convert($m, '-o', "$d/demo.npz");
convert("$d/demo.npz", '-o', "$d/demo.gguf");
convert("$d/demo.gguf", '-o', "$d/demo");
is(run({ in => $text }, 'clm-tokenize', '-m', "$d/demo$_")->{out}, $ids, "demo$_: the same ids")
	for '', '.npz', '.gguf';
is_deeply(tensors("$d/demo"), tensors($m), 'demo: every bit came back');
my $t = $json->decode(slurp("$d/demo/tokenizer_config.json"));
is($t->{chat_template}, do { local $_ = slurp("$m/chat_template.jinja"); utf8::decode($_); $_ },
	'the chat template') if -e "$m/chat_template.jinja";

# ---- other layouts
convert($m, '-o', "$d/examples", '--format', 'npz');
is(join(' ', grep { /weights/ } files_of("$d/examples")), 'weights.npz', 'mlx-examples: weights.npz');
ok(exists config("$d/examples")->{n_layers}, 'mlx-examples: their config');
is(greedy("$d/examples", 5, 6, 7), greedy($m, 5, 6, 7), 'mlx-examples: goes on alike');
convert($m, '-o', "$d/hf", '--format', 'hf');
is_deeply(tensors("$d/hf"), tensors($m), 'Hugging Face directory');
convert($m, '-o', "$d/one.safetensors");
is_deeply(tensors("$d/one.safetensors"), tensors($m), 'one file');
convert($m, '-o', "$d/deflated.npz", '--deflate');
ok(-s "$d/deflated.npz" < -s "$d/demo.npz", '--deflate is smaller');
is(greedy("$d/deflated.npz", 5, 6, 7), greedy($m, 5, 6, 7), '--deflate: goes on alike');
convert($m, '-o', "$d/shards", '--shard-size', '2M');
ok(@{ [glob "$d/shards/model-*-of-*.safetensors"] } > 1, '--shard-size: several files');
is_deeply(tensors("$d/shards"), tensors($m), '--shard-size: every bit');
is(sh("$c $m -o - --format gguf | cmp - $d/demo.gguf; echo \$?")->{out}, "0\n", '-o -');
convert($m, '-o', "$d/f32", '--dtype', 'f32');
is(config("$d/f32")->{torch_dtype}, 'float32', '--dtype f32: the config says so');
is(greedy("$d/f32", 5, 6, 7), greedy($m, 5, 6, 7), '--dtype f32 loses nothing');

# ---- quantization
for my $bits (2, 3, 4, 5, 6, 8) {
	convert($m, '-q', $bits, '-o', "$d/q$bits");
	my $q = config("$d/q$bits");
	is_deeply($q->{quantization}, { bits => $bits, group_size => 64, mode => 'affine' }, "-q $bits: config");
	is_deeply($q->{quantization_config}, $q->{quantization}, "-q $bits: and again");
	my $t = tensors("$d/q$bits");
	my $p = 'model.embed_tokens';
	my ($rows, $cols) = (tensors($m)->{"$p.weight"} =~ /^\S+ (\d+) (\d+)/);
	my ($words, $groups) = ($cols * $bits / 32, $cols / 64);
	like($t->{"$p.weight"}, qr/^U32 $rows $words /, "-q $bits: packed");
	like($t->{"$p.$_"}, qr/^(?:F16|BF16|F32) $rows $groups /, "-q $bits: $_") for qw(scales biases);
	like(greedy("$d/q$bits", 5, 6, 7), qr/^\d/, "-q $bits: runs");
}
my $text_of_it = substr slurp('tests/data/demo/heldout.txt'), 0, 3000;
my ($ppl, $ppl8) = map { (split ' ', run({ in => $text_of_it }, 'clm-score', '-m', $_)->{out})[-1] } $m, "$d/q8";
ok(abs($ppl8 / $ppl - 1) < 0.01, '-q 8 is close') or diag "$ppl, $ppl8";
convert("$d/demo.gguf", '-q', 4, '-o', "$d/q4-gguf");
is_deeply(tensors("$d/q4-gguf"), tensors("$d/q4"), '-q from a GGUF: the same codes');
convert("$d/q4", '-o', "$d/q4.npz");
convert("$d/q4.npz", '-o', "$d/q4-back");
is_deeply(tensors("$d/q4-back"), tensors("$d/q4"), 'quantized through NPZ: every bit');
convert($m, '-q', 4, '-g', 32, '-o', "$d/g32");
convert($m, '-q', '4:32', '-o', "$d/g32-too");
is_deeply(tensors("$d/g32-too"), tensors("$d/g32"), '-q 4:32: -q 4 -g 32');
convert($m, '-q', 'q4_k_m', '-o', "$d/q4km.gguf");
like(greedy("$d/q4km.gguf", 5, 6, 7), qr/^\d/, '-q q4_k_m runs');
convert("$d/g32", '-o', "$d/g32.gguf");
convert("$d/g32.gguf", '-o', "$d/g32-back");
is_deeply(tensors("$d/g32-back"), tensors("$d/g32"), '4 bits, groups of 32, through GGUF: every bit');
convert("$d/q4", '-o', "$d/q4.gguf");
is(greedy("$d/q4.gguf", 5, 6, 7), greedy("$d/q4", 5, 6, 7), 'groups of 64 as blocks of 32: the same numbers');
convert("$d/q4", '-o', "$d/q4-floats", '--dequantize');
ok(!exists config("$d/q4-floats")->{quantization}, '--dequantize: the config says so');
is(greedy("$d/q4-floats", 5, 6, 7), greedy("$d/q4", 5, 6, 7), '--dequantize goes on alike');
for my $bits (4, 5, 8) {
	convert($m, '-q', $bits, '-o', "$d/b$bits.gguf");
	like(greedy("$d/b$bits.gguf", 5, 6, 7), qr/^\d/, "-q $bits to a GGUF runs");
}
my $note = run($c, "$d/q8", '-o', "$d/q8.gguf");
is($note->{rc}, 0, 'what GGUF cannot hold becomes floats');
like($note->{err}, qr/^$c: note: affine 8-bit: \d+ weights become f16, the first \S+\n\z/, 'and a note says so');
is(run($c, '--quiet', "$d/q8", '-o', "$d/q8.gguf")->{err}, '', '--quiet: no note');

# ---- GGUF's own types
my %token = %{ $json->decode(slurp('tests/data/gguf-models/tokens.json')) };
for my $path (glob 'tests/data/gguf-models/*.gguf') {
	my ($name) = $path =~ m{([^/]+)\.gguf$};
	my @in = @{ $token{"$name.gguf"} // $token{$name} };
	my $want = greedy($path, @in);

	is(run($c, '--quiet', $path, '-o', "$d/$name")->{rc}, 0, "$name to MLX");
	is(greedy("$d/$name", @in), $want, "$name to MLX goes on alike");
	is(run($c, '--quiet', $path, '-o', "$d/$name-hf", '--format', 'hf')->{rc}, 0, "$name to Hugging Face");
	is(greedy("$d/$name-hf", @in), $want, "$name to Hugging Face goes on alike");
}

my $q8 = 'tiny-qwen2-b-Q8_0';
convert("$d/$q8", '-o', "$d/$q8.gguf");
convert("$d/$q8.gguf", '-o', "$d/$q8-back");
is_deeply(tensors("$d/$q8-back"), tensors("$d/$q8"), 'Q8_0 to MLX and back: every bit');

# ---- into a directory that is there
convert($m, '-o', "$d/hf", '-q', 4);
is_deeply(tensors("$d/hf"), tensors("$d/q4"), 'a model in place of a model');
misused(qr{\Q$d\E/shards: holds model-00001-of-\d+.safetensors, which would be read too},
	'not beside other weights', $c, $m, '-o', "$d/shards");

# ---- refusals leave nothing behind
my @before = files_of($d);
misused(qr/expected one model to convert, found none/, 'nothing to convert', $c, '-o', "$d/z");
misused(qr/expected one model to convert, found more/, 'two to convert', $c, $m, $m, '-o', "$d/z");
misused(qr/no output/, 'no output', $c, $m);
misused(qr/needs a --format/, '-o - of no format', $c, $m, '-o', '-');
misused(qr/only a GGUF or a safetensors/, 'an NPZ to a pipe', $c, $m, '-o', '-', '-f', 'npz');
misused(qr/-q 9: no such form/, '9 bits', $c, '-q', 9, $m, '-o', "$d/z");
misused(qr/q4_k: is for a GGUF/, 'blocks for MLX', $c, '-q', 'q4_k', $m, '-o', "$d/z");
misused(qr/goes with -q BITS/, 'a group for mxfp4', $c, '-q', 'mxfp4', '-g', 32, $m, '-o', "$d/z");
misused(qr/-q 7: no such form/, '7 bits', $c, '-q', 7, $m, '-o', "$d/z");
misused(qr/groups of 48: expected/, 'groups of 48', $c, '-q', 4, '-g', 48, $m, '-o', "$d/z");
misused(qr/opposites/, '-q --dequantize', $c, '-q', 4, '--dequantize', $m, '-o', "$d/z");
misused(qr/--format: expected one of auto mlx/, 'no such format', $c, '--format', 'x', $m, '-o', "$d/z");
misused(qr/a GGUF takes 4, 5 or 8/, '3 bits in a GGUF', $c, '-q', 3, $m, '-o', "$d/z.gguf");
refused(qr{^$c: /no/where: }, 'no such model', $c, '/no/where', '-o', "$d/z");
refused(qr{q and k norms}, 'qwen3 in the mlx-examples layout', $c, golden('qwen3'), '-o', "$d/z", '-f', 'npz');
my $bad = spit("$d/bad.gguf", substr slurp("$d/demo.gguf"), 0, 5_000_000);
refused(qr{^$c: \Q$bad\E: }, 'a model cut short', $c, $bad, '-o', "$d/z");
unlink $bad;
my $r = run($c, $m, '-o', '/dev/full', '--format', 'gguf');
is($r->{rc}, 4, 'a full disk: exit 4');
like($r->{err}, qr/^$c: [^\n]*\n\z/, 'a full disk: one line');
$r = run($c, $m, '-o', '/no/such/place/x.npz');
is($r->{rc}, 4, 'no such place: exit 4') or diag $r->{err};
like($r->{err}, qr{^$c: [^\n]*/no/such/place/x.npz[^\n]*\n\z}, 'no such place: its name');
is("@{[files_of($d)]}", "@before", 'nothing was left behind');

# ---- SIGINT in the middle: no output, no temporary file
my $big = start($c, $m, '-q', 3, '-o', "$d/zz");
for (1 .. 20000) {
	last if grep { /tmp/ } files_of($d);
	select undef, undef, undef, 0.0001;
}
kill INT => $big->{pid};
finish($big);
SKIP: {
	skip 'it was done already', 2 if $big->{rc} == 0;
	is($big->{rc}, 130, 'SIGINT: exit 130');
	is("@{[files_of($d)]}", "@before", 'SIGINT: nothing was left behind');
}

# ---- adapters
{
	my $t = new_dir();
	my $r = run('clm-convert', 'tests/data/golden/adapters/peft_lora', '-o', "$t/mlx");
	is($r->{rc}, 0, 'PEFT to MLX') or diag $r->{err};
	ok(-s "$t/mlx/adapters.safetensors", 'adapters.safetensors');
	is(run('clm-convert', "$t/mlx", '-o', "$t/peft")->{rc}, 0, 'MLX to PEFT');
	ok(-s "$t/peft/adapter_model.safetensors", 'adapter_model.safetensors');
	is(run('clm-convert', "$t/mlx", '-q', 4, '-o', "$t/x")->{rc}, 2, 'an adapter in bits');

	my $g = golden('llama');
	my @two = ('--adapter', "$t/mlx=0.5", '--adapter', 'tests/data/golden/adapters/peft_dora');
	is(run('clm-convert', $g, @two, '--fuse', '--dtype', 'f32', '-o', "$t/fused")->{rc}, 0, '--fuse');
	my @score = ({ in => '5 9 31 4 77 12' }, 'clm-score', '--ids', '--device', 'ref', '-m');
	my ($with) = run(@score, $g, @two)->{out} =~ /([\d.]+)\n\z/;
	my ($fused) = run(@score, "$t/fused")->{out} =~ /([\d.]+)\n\z/;
	ok(abs($with - $fused) < 1e-4 * $with, 'as at run time') or diag "$with $fused";
	is(run('clm-quantize', $g, '-t', 'mxfp4', '-o', "$t/mx")->{rc}, 0, 'a base in mxfp4');
	is(run('clm-convert', "$t/mx", @two, '--fuse', '-o', "$t/mx-fused")->{rc}, 0, 'fused');
	is(run('clm-info', "$t/mx-fused")->{out} =~ /^(quantization\t.*)/m && $1,
	   run('clm-info', "$t/mx")->{out} =~ /^(quantization\t.*)/m && $1, 'it keeps its form');
	misused(qr/go together/, '--fuse alone', 'clm-convert', $g, '--fuse', '-o', "$t/y");
	misused(qr/go together/, '--adapter alone', 'clm-convert', $g, @two, '-o', "$t/y");
	misused(qr/expected a scale/, 'a scale that is none', 'clm-convert', $g, '--fuse', '-o', "$t/y",
		'--adapter', "$t/mlx=x");
}

done_testing;
