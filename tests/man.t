#!/usr/bin/perl
# man.t - the pages say what the programs do: each command has one, its
# options are those of the option table, its EXAMPLES run and print what is
# shown ("..." stands for any lines), and mandoc has nothing to say.
use strict;
use warnings;
use lib 'tests/cmd';
use Cwd 'abs_path';
use Run;
use Test::More;

my @commands = map { m{([^/]+)\.c$} ? $1 : () } sort glob 'cmd/clm-*.c';
my $root = abs_path('.');

sub plain
{
	my ($text) = @_;

	$text =~ s/\\&//g;
	$text =~ s/\\e/\\/g;
	$text =~ s/\\-/-/g;
	$text =~ s/\\\(dq/"/g;
	return $text;
}

sub section
{
	my ($page, $name) = @_;

	return $page =~ /^\.Sh \Q$name\E\n(.*?)(?=^\.Sh |\z)/ms ? $1 : '';
}

# "-q, --quiet" or "--temp T" of each item
sub options_of_page
{
	my ($page) = @_;
	my @o;

	for my $line (grep { /^\.It Fl / } split /\n/, section($page, 'OPTIONS')) {
		$line = plain($line);
		my ($letter) = $line =~ /Fl (\w) ,/;
		my ($name) = $line =~ /Fl -([\w-]+)/;
		push @o, join ' ', $letter // '-', $name // '?', $line =~ / Ar / ? 'takes' : 'takes nothing';
	}
	return sort @o;
}

sub options_of_table
{
	return sort map {
		my @c = split /\t/;
		"$c[0] $c[1] " . ($c[2] eq '-' ? 'takes nothing' : 'takes');
	} split /\n/, run($_[0], '--completion-table')->{out};
}

for my $c (@commands) {
	my $path = "man/$c.1";

	ok(-e $path, "$c has a page") or next;
	my $page = slurp($path);
	is(join("\n", options_of_page($page)), join("\n", options_of_table($c)),
		"$c: its options are the table's");
	my @want = sort grep { $_ ne '-' } map { (split /\t/)[4] } split /\n/,
		run($c, '--completion-table')->{out};
	my @have = section($page, 'ENVIRONMENT') =~ /\b(CLM_\w+)/g;
	is(join(' ', sort @have), "@want", "$c: its variables are the table's");
	for my $s ('NAME', 'SYNOPSIS', 'DESCRIPTION', 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO') {
		ok(section($page, $s), "$c: $s");
	}
}

# ---- EXAMPLES, in a directory where models/demo is
sub examples
{
	my ($page) = @_;
	my $text = section($page, 'EXAMPLES');
	my @e;

	while ($text =~ /^\.Bd -literal[^\n]*\n(.*?)^\.Ed/msg) {
		my $block = plain($1);

		next if $block !~ /^\$ /;
		push @e, map { /^([^\n]*)\n(.*)\z/s ? [$1, $2] : () } split /^\$ /m, $block;
	}
	return grep { length $_->[0] } @e;
}

sub looks_like
{
	my ($want, $got) = @_;
	my $re = join '', map { $_ eq "...\n" ? '(?:.*\n)*' : quotemeta } split /(?<=\n)/, $want;

	return $got =~ /\A$re\z/;
}

for my $path (sort glob 'man/*.[1-8]') {
	my $d = new_dir();

	mkdir "$d/models";
	symlink "$root/models/demo", "$d/models/demo" or die;
	symlink "$root/README.md", "$d/README.md" or die;
	for (examples(slurp($path))) {
		my ($line, $want) = @$_;
		my $r = sh("cd $d && { $line\n}");

		is($r->{rc}, 0, "$path: $line") or diag $r->{err};
		ok(looks_like($want, $r->{out}), "$path: prints what is shown") or diag $r->{out};
	}
}

is(slurp('man/clm-families.7'), sh('scripts/families-page clm-info')->{out},
	'clm-families.7 is what the family table says');

SKIP: {
	skip 'no mandoc', 1 if system 'command -v mandoc >/dev/null';
	for my $path (sort glob 'man/*.[1-8]') {
		is(sh("mandoc -Tlint -W warning $path")->{out}, '', "$path: mandoc is content");
	}
}

done_testing;
