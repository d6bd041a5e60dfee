#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# text.t - real vocabularies: the ids and texts that the reference libraries
# give, malformed files refused, and a big one opened at once
use strict;
use warnings;
use Test::More;
use Encode qw(encode_utf8);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use JSON::PP;

my $build  = $ENV{BUILD}  || 'build';
my $shared = $ENV{SHARED} || '../shared';
my $data   = "$shared/data";
plan skip_all => "no $data/tokenizers" unless -d "$data/tokenizers";

my $tmp = tempdir(CLEANUP => 1);

sub slurp {
	open my $f, '<:raw', $_[0] or die "$_[0]: $!";
	local $/;
	return <$f> // '';
}

sub spew {
	my ($path, $text) = @_;

	open my $f, '>:raw', $path or die "$path: $!";
	print $f $text;
	close $f or die "$path: $!";
}

# A model that is nothing but tokenizer files: NAME => PATH.
my $n_models = 0;

sub model {
	my (%files) = @_;
	my $dir = "$tmp/model" . $n_models++;

	mkdir $dir or die "$dir: $!";
	spew("$dir/model.safetensors", pack('Q<', 2) . '{}');
	copy($files{$_}, "$dir/$_") or die "$files{$_}: $!" for keys %files;
	return $dir;
}

sub run {
	my ($command, $input) = @_;

	spew("$tmp/in", $input);
	my $status = system("$command < $tmp/in > $tmp/out 2> $tmp/err");
	return (slurp("$tmp/out"), $status >> 8, slurp("$tmp/err"));
}

# Each case: text, ids, and the text that they decode to.
sub cases_ok {
	my ($name, $model, $flags, @cases) = @_;
	my @plain = grep { $_->[0] !~ /\0/ } @cases;
	my ($out) = run("$build/clm-tokenize -m $model $flags -0", join '', map { "$_->[0]\0" } @plain);
	my @got   = split /\n/, $out, -1;
	my @bad;

	pop @got;
	for my $c (grep { $_->[0] =~ /\0/ } @cases) {
		my ($one) = run("$build/clm-tokenize -m $model $flags --raw", $c->[0]);

		push @plain, $c;
		push @got, $one =~ s/\n\z//r;
	}
	@bad = grep { ($got[$_] // '') ne "@{ $plain[$_][1] }" } 0 .. $#plain;
	ok(@got == @plain && !@bad, "$name $flags: ids of " . @plain . ' texts');
	diag(encode_utf8("[$plain[$_][0]]: $got[$_], expected @{ $plain[$_][1] }")) for @bad[0 .. ($#bad < 2 ? $#bad : 2)];
	return unless defined $cases[0][2];
	($out) = run("$build/clm-tokenize -m $model -d --special -0", join '', map { "@{ $_->[1] }\n" } @cases);
	is($out, join('', map { "$_->[2]\0" } @cases), "$name: decoded");
}

sub expected {
	my ($path) = @_;

	return @{ decode_json(slurp($path))->{cases} };
}

# ---- tokenizer.json and .model, as their libraries have it

for my $name (qw(gpt2 gpt-neox-20b qwen2 falcon phi-3-mini bert-base-uncased t5-small)) {
	my $dir   = "$data/tokenizers/hf/$name";
	my $model = model('tokenizer.json' => "$dir/tokenizer.json");
	my @cases = expected("$dir/expected_A.json");

	cases_ok($name, $model, '--special --no-special',
		map { [ encode_utf8($_->{text}), $_->{ids},
			encode_utf8(ref $_->{decoded} || $_->{decoded} eq '1' ? $_->{text} : $_->{decoded}) ] } @cases);
	cases_ok($name, $model, '--special', map { [ encode_utf8($_->{text}), $_->{ids_with_special} // $_->{ids} ] } @cases);
}

for my $name (qw(mistral-v1 mistral-v3 test_model)) {
	my $dir = "$data/tokenizers/spm/$name";

	cases_ok($name, model('tokenizer.model' => "$dir/tokenizer.model"), '--no-special',
		map { [ encode_utf8($_->{text}), $_->{ids}, encode_utf8($_->{decoded}) ] } expected("$dir/expected_A.json"));
}

for my $name (qw(r50k_base cl100k_base o200k_base)) {
	my $dir = "$data/tokenizers/tiktoken";

	cases_ok($name, model("$name.tiktoken" => "$dir/$name.tiktoken"), '--no-special',
		map { [ encode_utf8($_->{text}), $_->{ids}, encode_utf8($_->{text}) ] }
		expected("$dir/$name.expected_A.json"));
}

# ---- conversations with control pieces; the texts show the prefix that the
# pieces after one have

for my $path (sort glob "$data/tokenizers/mistral-common-samples/*/tokens_v*.json") {
	my ($v)  = $path =~ /_v(\d)\.json$/;
	my $text = slurp($path =~ s/tokens_(v\d)\.json/text_$1.txt/r);
	my $mark = "\xE2\x96\x81";

	$text =~ s/(<s>|<\/s>)$mark/$1/g;
	$text =~ s/(\[\/?[A-Z_]+\])$mark/$1/g if $v > 1;
	$text =~ s/$mark/ /g;
	$text =~ s/<0x0A>/\n/g;
	cases_ok($path =~ s/.*samples.//r,
		model('tokenizer.model' => "$data/tokenizers/spm/mistral-v" . ($v > 1 ? 3 : 1) . '/tokenizer.model'),
		'--special --no-special', [ $text, decode_json(slurp($path))->{tokens} ]);
}

# ---- GGUF vocabularies, and llama2.c's

sub vectors {
	my ($path) = @_;
	my @text = split /\n__ggml_vocab_test__\n/, slurp("$path.inp"), -1;
	my @ids  = split /\n/, slurp("$path.out"), -1;

	return map { [ $text[$_], [ split ' ', $ids[$_] // '' ], $text[$_] ] } 0 .. $#text;
}

for my $name (qw(gpt-2 falcon starcoder deepseek-coder phi-3)) {
	my $path = "$data/vocab/ggml-vocab-$name.gguf";

	cases_ok($name, $path, '--no-special', vectors($path));
}
cases_ok('qwen2 vectors', model('tokenizer.json' => "$data/tokenizers/hf/qwen2/tokenizer.json"),
	'--no-special', vectors("$data/vocab/vectors-only/ggml-vocab-qwen2.gguf"));

my $stories = decode_json(slurp("$data/models/stories260K/stories260K.reference.json"));
my @stories = map { [ encode_utf8($_->[0]), $_->[1] ] }
	(map { [ $_->{prompt}, $_->{prompt_ids} ] } @{ $stories->{prompts} }),
	[ $stories->{nll}{text}, $stories->{nll}{ids} ];

cases_ok('tok512.bin', model('tokenizer.bin' => "$data/models/stories260K/tok512.bin"), '', @stories);
cases_ok('stories260K-f16.gguf', "$data/models/derived/stories260K-f16.gguf", '', @stories);

# ---- what is refused

sub refused_ok {
	my ($verdict, $what, %files) = @_;
	my ($out, $code, $err) = run("$build/clm-tokenize -m " . model(%files), 'ab');
	my $lines = () = $err =~ /\n/g;

	ok($code == 0 || ($code == 3 && $lines == 1), "$what: taken or refused in a line");
	is($code, $verdict eq 'refuse' ? 3 : 0, "$what: $verdict") unless $verdict eq 'free';
}

for my $c (@{ decode_json(slurp("$data/malformed/tokenizer/cases.json"))->{cases} }) {
	my ($kind) = $c->{file} =~ /\.(json|model)$/ or next;

	refused_ok($c->{verdict}, $c->{file}, "tokenizer.$kind" => "$data/malformed/tokenizer/$c->{file}");
}
refused_ok('refuse', $_, 'tokenizer.bin' => "$data/malformed/llama2c/$_") for qw(bad_tok_len.bin bad_tok_negative.bin);
refused_ok('refuse', $_, 'tokenizer.json' => "$data/tokenizers/hf/$_/tokenizer.json")
	for qw(test-hf mini-llama added-tokens);

refused_ok('refuse', $_, 'tokenizer.model' => "$data/tokenizers/tiktoken/malformed/$_")
	for qw(test_tiktoken_invalid_rank.model test_tiktoken_no_space.model);

# ---- at once: processor time, for a machine may have other things to do

my $big  = model('tokenizer.json' => "$data/tokenizers/hf/qwen2/tokenizer.json");
my $best = 1e9;

for (1 .. 7) {
	my @from = times;

	run("$build/clm-tokenize -m $big", 'Hello');
	my @to = times;
	my $ms = 1000 * ($to[2] + $to[3] - $from[2] - $from[3]);
	$best = $ms if $ms < $best;
}
diag sprintf 'a vocabulary of 151,646 opens in %.0f ms of processor time', $best;

done_testing();
