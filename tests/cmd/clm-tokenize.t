#!/usr/bin/perl
# clm-tokenize.t - text to ids and back.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my $m = demo();
my @t = ('clm-tokenize', '-m', $m);
my $text = "The hacker said: \"na\xc3\xafve\"\n\n\tcaf\xc3\xa9 \xf0\x9f\x98\x80 1984.  \n";
my $ids = run({ in => $text }, @t)->{out};

# ---- round trips
is(run({ in => $ids }, @t, '-d')->{out}, $text, 'a text comes back');
is(run({ in => run({ in => "x\n\n" }, @t, '--raw')->{out} }, @t, '-d', '--raw')->{out}, "x\n\n",
	'--raw keeps every byte');
is(run({ in => run({ in => "one\n\ntwo" }, @t, '--lines')->{out} }, @t, '-d')->{out},
	"one\n\ntwo\n", '--lines');
is(run({ in => run({ in => "one\ntwo\0\0three" }, @t, '-0')->{out} }, @t, '-d', '-0')->{out},
	"one\ntwo\0\0three\0", '-0');
is(run({ in => $ids }, @t, '-d', '-')->{out}, $text, '- is standard input');

my $d = new_dir();
spit("$d/a", "The end\n");
spit("$d/b", "of it\n");
is(run(@t, "$d/a", "$d/b")->{out}, run({ in => "The end\nof it\n" }, @t, '--lines')->{out},
	'each file is a text');
is(run({ in => "of it" }, @t, "$d/a", '-')->{out}, run(@t, "$d/a", "$d/b")->{out},
	'- among files');
is(run({ in => '' }, @t)->{out}, "\n", 'an empty text has an empty line');
is(run({ in => '' }, @t, '--lines')->{out}, '', 'no lines, no lines');

# ---- forms
is(run({ in => $text }, @t, '--count')->{out}, scalar(split ' ', $ids) . "\n", '--count');
my ($head, @pieces) = split /\n/, run({ in => $text }, @t, '--pieces')->{out};
is($head, "id\tpiece\toffset", '--pieces has a header');
is((split /\t/, $pieces[1])[2], length((split /"/, $pieces[0])[1]), '--pieces: an offset');
is(join(' ', map { /^(\d+)\t"/ ? $1 : () } @pieces) . "\n", $ids, '--pieces');

is(run({ in => $text }, @t, '--no-bos', '--no-special')->{out}, $ids, 'no BOS, as it has none')
	if run({ in => '' }, @t)->{out} eq "\n";
is(run({ in => "x\n" x 3000 }, @t, '--lines', '--threads', $_)->{out},
	run({ in => 'x' }, @t)->{out} x 3000, "--threads $_") for 1, 3;
is(run({ in => join '', map { "$_\n" } 1 .. 2000 }, @t, '--lines', '--threads', 2)->{out},
	run({ in => join '', map { "$_\n" } 1 .. 2000 }, @t, '--lines', '--threads', 1)->{out},
	'texts keep their order');
misused(qr/--bos and --no-bos/, '--bos with --no-bos', @t, '--bos', '--no-bos');

# ---- special tokens
my $tag = run({ in => '<|im_end|>' }, @t, '--special')->{out};
SKIP: {
	skip 'the model has no <|im_end|>', 4 if $tag !~ /^\d+\n\z/;
	is(run({ in => $tag }, @t, '-d')->{out}, "\n", 'special tokens are hidden');
	is(run({ in => $tag }, @t, '-d', '--special')->{out}, "<|im_end|>\n", '--special');
	my $plain = run({ in => '<|im_end|>' }, @t)->{out};
	isnt($plain, $tag, 'without --special their text is text');
	is(run({ in => $plain }, @t, '-d')->{out}, "<|im_end|>\n", 'and it comes back');
}

# ---- records
my $records = join '', map { "$_\n" } '{"id": "a", "text": "The hacker"}', '', ' ',
	'{"text": "na\\u00efve", "more": [1]}', '{"id": 12345678901234567890, "text": ""}';
my @of = map { join ', ', split ' ', run({ in => $_ }, @t)->{out} } 'The hacker', "na\xc3\xafve", '';
my $want = qq({"id": "a", "ids": [$of[0]]}\n{"id": 4, "ids": [$of[1]]}\n) .
	qq({"id": 12345678901234567890, "ids": [$of[2]]}\n);
is(run({ in => $records }, @t, '--jsonl')->{out}, $want, '--jsonl');
is(run({ in => $want }, @t, '--jsonl', '-d')->{out},
	qq({"id": "a", "text": "The hacker"}\n{"id": 4, "text": "na\xc3\xafve"}\n) .
	qq({"id": 12345678901234567890, "text": ""}\n), '--jsonl -d');
is(run({ in => $records }, @t, '--jsonl', '-c')->{out} =~ s/.*"count": (\d+)\}\n/$1 /gr,
	join('', map { scalar(split /, /) . ' ' } @of), '--jsonl --count');
like(run({ in => $records }, @t, '--jsonl', '--pieces')->{out},
	qr/^\{"id": "a", "pieces": \[\{"id": \d+, "piece": "The", "offset": 0\}, .*"offset": 3\}\]\}$/m,
	'--jsonl --pieces');
is(run({ in => qq({"id": 1, "q": "The hacker"}\n) }, @t, '--jsonl', '--field', 'q')->{out},
	qq({"id": 1, "ids": [$of[0]]}\n), '--field');
is(run({ in => qq({"id": 1, "q": [$of[0]]}\n) }, @t, '--jsonl', '-d', '--field', 'q')->{out},
	qq({"id": 1, "text": "The hacker"}\n), '--field with -d');
my $bad = run({ in => qq({"id": 1}\nx\n{"id": 2, "text": 3}\n[]\n{"id": 3, "text": "a"}\n) }, @t, '--jsonl');
is($bad->{rc}, 1, 'records that fail: exit 1');
my @why = map { /"message": "(.*)"\}\}$/ ? $1 : 'none' } split /\n/, $bad->{out};
is_deeply(\@why, ['text: missing', "byte 0: expected a value, found 'x'",
	'text: expected a string, found a number', 'expected an object, found an array', 'none'], 'each says why');
like($bad->{out}, qr/^\{"id": 1, .*\n\{"id": 2, .*\n\{"id": 2, .*\n\{"id": 4, .*\n\{"id": 3, "ids"/, 'and which it is');
is(run({ in => qq({"ids": [2147483647]}\n{"ids": [-1]}\n{"ids": 5}\n) }, @t, '--jsonl', '-d')->{rc}, 1,
	'ids that are none');
is(run({ in => $ids }, @t, '-d', '--pieces')->{out}, run({ in => $text }, @t, '--pieces')->{out},
	'-d --pieces');
misused(qr/--field is for --jsonl/, '--field alone', @t, '--field', 'x');
misused(qr/--jsonl does not go with/, '--jsonl --lines', @t, '--jsonl', '--lines');
misused(qr/two things to print/, '--count --pieces', @t, '-c', '--pieces');

# ---- streaming: a character is held until it is whole, no longer
my @smile = split ' ', run({ in => "\xf0\x9f\x98\x80" }, @t)->{out};
is(run({ in => "$smile[0]\n" }, @t, '-d')->{out}, "\xef\xbf\xbd\n", 'half a character') if @smile > 1;
my $slow = sh("(echo -n '$smile[0]'; sleep 0.2; echo ' @smile[1 .. $#smile]') | @t -d");
is($slow->{out}, "\xf0\x9f\x98\x80\n", 'a number and a character torn in two');

# ---- bad input
for (
	['a word',          "1 2 x\n",        qr/standard input: byte 5: expected decimal token ids, found "x"/],
	['a negative id',   "-1\n",           qr/byte 1: expected decimal/],
	['a huge id',       "99999999999\n",  qr/token id over 2147483647/],
	['one out of range', "2147483647\n",  qr/2147483647/],
) {
	my ($name, $in, $want) = @$_;
	my $r = run({ in => $in }, @t, '-d');
	is($r->{rc}, 3, "$name: exit 3");
	like($r->{err}, qr/^clm-tokenize: [^\n]*$want[^\n]*\n\z/, "$name: one line");
}
refused(qr{/no/such/file: no such file}, 'no such file', @t, '/no/such/file');
refused(qr{is a directory}, 'a directory', @t, '/');
refused(qr{tokenizer}, 'a model without a tokenizer', 'clm-tokenize', '-m', golden('llama'));
misused(qr/--lines and --null/, '--lines with -0', @t, '--lines', '-0');
misused(qr/-d goes with/, '-d with --count', @t, '-d', '-c');

# bytes that are no UTF-8 pass through byte tokens
my $bytes = join '', map { chr } 1 .. 255;
is(run({ in => run({ in => $bytes }, @t, '--raw')->{out} }, @t, '-d', '--raw')->{out}, $bytes,
	'any bytes');

is(sh("yes 'The hacker' | head -20000 | @t --lines | head -1")->{out},
	run({ in => 'The hacker' }, @t)->{out}, '| head -1');

done_testing;
