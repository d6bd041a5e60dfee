#!/usr/bin/perl
# clm-bench.t - lines and their shapes, options and refusals. Nothing here
# fails because the machine is slow.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $c = 'clm-bench';
# a set that every machine has, so that the limits are the same
my @tiny = (qw(--synthetic tiny -r 2 -p 40 -n 4 --device cpu --isa plain));
my @columns = qw(model form rows units test depth batch runs median min max unit bytes_per_s
	flop_per_s limit share error);
my @limits = qw(limit-read limit-fma limit-dot16 limit-dot8 limit-launch);

# A list of { column => value } of a TSV, whose shape is checked.
sub table
{
	my ($text, $name) = @_;
	my ($head, @lines) = split /\n/, $text;
	my @rows;

	is($head, join("\t", @columns), "$name: the header");
	for (@lines) {
		my @v = split /\t/, $_, -1;
		is(scalar @v, scalar @columns, "$name: as many values as columns");
		my %r;
		@r{@columns} = @v;
		push @rows, \%r;
	}
	return @rows;
}

sub number { $_[0] =~ /^\d+(\.\d+)?(e[+-]?\d+)?$/ && $_[0] > 0 }

# ---- whole passes
my $r = run($c, @tiny, '-d', '0,70', '-b', '1,3');
is($r->{rc}, 0, 'a shape: exit code') or diag $r->{err};
is($r->{err}, '', 'a shape: nothing on stderr');
my @rows = table($r->{out}, 'a shape');
is(join(' ', map { $_->{test} } @rows),
	join(' ', @limits, ('pp40', 'ttft40', 'tg4', 'tg4') x 2, 'memory', 'memory-device'),
	'a shape: the tests, in their order');
is(join(' ', map { "$_->{depth},$_->{batch}" } grep { $_->{test} eq 'tg4' } @rows),
	'0,1 0,3 70,1 70,3', 'depths and batches');
for (@rows) {
	ok(number($_->{median}) && $_->{min} <= $_->{median} && $_->{median} <= $_->{max},
		"$_->{test}: a median between its ends");
	next if $_->{test} !~ /^(pp|tg)/;
	is("$_->{model} $_->{form} $_->{unit} $_->{runs}", 'tiny q4g64 tok/s 2', "$_->{test}: what it is");
	ok(number($_->{bytes_per_s}) && number($_->{flop_per_s}) && number($_->{share}),
		"$_->{test}: rates and a share");
	like($_->{limit}, qr/^(read|fma|dot16|matrix)$/, "$_->{test}: its limit");
	is($_->{error}, '-', "$_->{test}: what does not apply");
}

my $json = JSON::PP->new->utf8;
my @records = map { $json->decode($_) } split /\n/,
	run($c, @tiny, '--format', 'jsonl', '--bits', 'f16,3', '--group', 32, '-p', 0)->{out};
is(join(' ', map { $_->{form} // '-' } grep { $_->{test} !~ /^memory/ } @records),
	'- - - - - f16 q3g32', 'JSONL: forms in turn, no prompt');
is($records[-3]{backend}, 'cpu', 'JSONL: the backend');
ok($records[-3]{device} && $records[-3]{limit_rate} > 0, 'JSONL: the device, the limit');
ok(!exists $records[-3]{error}, 'JSONL: no key for what does not apply');

is(join(' ', map { $_->{form} } grep { $_->{test} eq 'tg4' } table(run($c, @tiny, '-p', 0, '--bits',
	'2,3,4,5,6,8,f16,bf16,f32')->{out}, 'forms')),
	'q2g64 q3g64 q4g64 q5g64 q6g64 q8g64 f16 bf16 f32', 'every form');
$r = run($c, @tiny, '--format', 'md');
is($r->{rc}, 0, 'Markdown: exit code');
is((grep { (() = /\|/g) != 12 } split /\n/, $r->{out}), 0, 'Markdown: eleven columns each');
is(run($c, @tiny, '--exact')->{rc}, 0, '--exact');
my %float = map { $_->{test} => $_ } table(run($c, @tiny, '--exact', '-p', 64)->{out}, '--exact');
is($float{pp64}{limit}, 'fma', '--exact: products of floats');

# ---- a model's files
%float = map { $_->{test} => $_ } table(run($c, demo() . '/', '-r', 1, '-n', 2, '-p', 8, '--device',
	'cpu')->{out}, 'a model');
is("$float{tg2}{model} $float{tg2}{form}", 'demo f16', 'a model: its name and form');
ok(number($float{load}{median}) && number($float{start8}{median}), 'a model: load and start');
$r = run($c, 'tests/data/gguf-models/tiny-llama-a-Q4_K_M.gguf', '-r', 1, '-n', 2, '-p', 8);
is($r->{rc}, 0, 'a GGUF') or diag $r->{err};
is(run($c, golden('mistral'), '-r', 1, '-n', 2, '-p', 8, '-d', '100', '-b', '1,2')->{rc}, 0,
	'layers that slide');
is(run({ env => { CLM_MODEL => demo() } }, $c, '-r', 1, '-n', 1, '-p', 0)->{rc}, 0, 'CLM_MODEL');

# ---- random weights as files
my $saved = new_dir() . "/random";
for (['tiny', '4'], ['tiny', 'bf16']) {
	my ($shape, $bits) = @$_;
	$r = run($c, '--synthetic', $shape, '--bits', $bits, '--save', $saved);
	is("$r->{rc}$r->{out}$r->{err}", 0, "--save: $shape, $bits") or diag $r->{err};
	is(run($c, $saved, qw(-r 1 -n 2 -p 8 --device cpu))->{rc}, 0, "--save: $bits is a model");
}
is(run({ in => "a w\x{c3}\x{b6}rd\n" }, 'clm-tokenize', '-m', $saved)->{out}, "97 32 119 195 182 114 100\n",
	'--save: bytes are tokens');
like(run({ in => 'a' }, 'clm-infer', '-m', $saved, qw(-n 4 --device cpu))->{out}, qr/./, '--save: text is made');
misused(qr/--save: expected one form of --bits, found 2/, 'two models in one directory', $c, @tiny,
	'--bits', '4,8', '--save', "$saved.2");
misused(qr/--save is for --synthetic/, 'a model that is there', $c, demo(), '--save', "$saved.2");
ok(!-e "$saved.2", 'a refusal leaves nothing');

# ---- ops
$r = run($c, '--ops', @tiny, '-d', '0,40', '--bits', '4,bf16', '-r', 1);
is($r->{rc}, 0, '--ops: exit code') or diag $r->{err};
@rows = grep { $_->{test} !~ /^limit/ } table($r->{out}, '--ops');
is(join(' ', map { $_->{batch} } grep { $_->{form} eq 'q4g64' && $_->{test} eq 'matmul-o' } @rows),
	'1 4 8 16 32 64 512', '--ops: rows of a product');
is((grep { $_->{test} eq 'attention' && $_->{depth} == 40 } @rows), 8, '--ops: attention at a depth');
my %bound = (q4g64 => 1e-3, bf16 => 1e-4);
for (@rows) {
	ok($_->{error} ne '-' && $_->{error} < $bound{ $_->{form} },
		"--ops: $_->{form} $_->{test}, $_->{batch} rows: right") or diag $_->{error};
}

# ---- pipes and signals
is(sh("$c @tiny | head -1; echo \${PIPESTATUS[0]}")->{out}, join("\t", @columns) . "\n141\n",
	'a reader that has gone ends it');
$r = start($c, qw(--synthetic tiny -r 1000 -n 4000 --device cpu));
for (1 .. 600) {
	last if -s $r->{out_path};
	select undef, undef, undef, 0.1;
}
kill INT => $r->{pid};
finish($r);
is($r->{rc}, 130, 'interrupted: exit code');
like($r->{out}, qr/^model\t.*\n\z/s, 'interrupted: whole lines');
is($r->{err}, '', 'interrupted: no word');

# ---- refusals
$r = run($c, @tiny, '-p', 0, '-d', '1M', '-b', '512');
is($r->{rc}, 1, 'what does not fit is left out: exit code');
like($r->{err}, qr/^$c: depth 1048576, batch 512: left out: the cache has room for [^\n]+\n\z/,
	'what does not fit: one line');
is(run($c, @tiny, '-q', '-p', 0, '-d', '1M', '-b', '512')->{err}, '', 'what does not fit: -q');
misused(qr/no model/, 'no model', $c);
misused(qr/expected one model, found more/, 'two models', $c, demo(), demo());
misused(qr/expected one model or --synthetic, found both/, 'a model and a shape', $c, @tiny, demo());
misused(qr/shape "huge": expected one of tinyllama-1.1b .* tiny/, 'a shape that is not known', $c,
	'--synthetic', 'huge');
misused(qr/--bits: expected 2, 3, [^;]*, found "7"/, 'bits', $c, @tiny, '--bits', '4,7');
misused(qr/--bits is for --synthetic/, 'bits of a model', $c, demo(), '--bits', 4);
misused(qr/--group: expected 16, 32, 64 or 128, found 48/, 'a group', $c, @tiny, '--group', 48);
misused(qr/--depth: expected values with commas between, found "1,,2"/, 'a list', $c, @tiny, '-d', '1,,2');
misused(qr/--prompt: expected numbers from 0 to \d+, found "x"/, 'a number', $c, @tiny, '-p', 'x');
misused(qr/--batch: expected numbers from 1 to 512, found 0/, 'no batch', $c, @tiny, '-b', 0);
misused(qr/-r: expected a number from 1/, 'no runs', $c, @tiny, '-r', 0);
misused(qr/--format: expected one of tsv jsonl md, found "csv"/, 'a format', $c, @tiny, '--format', 'csv');
misused(qr/--exact and --fast are opposites/, 'opposites', $c, @tiny, qw(--exact --fast));
refused(qr{^$c: /no/where: }, 'no such model', $c, '/no/where');
is(run($c, @tiny, '--isa', 'none')->{rc}, 4, 'an instruction set that is not there');

# every shape that completion offers is one
my ($shapes) = run($c, '--completion-table')->{out} =~ /^-\tsynthetic\tSHAPE\t([^\t]*)/m;
like(run($c, '--synthetic', 'huge')->{err}, qr/expected one of \Q$shapes\E;/, 'completion knows the shapes');

is(run($c, '-m', golden($_), qw(-p 8 -n 4 -d 32 -r 1 --device ref))->{rc}, 0, "$_: at a depth")
	for qw(gemma4_text gemma4_shared deepseek_v3);
done_testing;
