#!/usr/bin/perl
# rooms.t - the habits that a compiler does not insist on: knowledge flows
# from left to right, only exec/ sees OpenCL, only cmd/ prints and exits,
# nothing is left half done, nothing runs on for too long.
use strict;
use warnings;
use Test::More;

# What each room may include besides itself.
my %sees = (
	util    => '',
	tensor  => 'util',
	format  => 'util tensor',
	text    => 'util format',
	exec    => 'util tensor',
	kv      => 'util tensor format exec',
	model   => 'util tensor format exec kv',
	gen     => 'util text kv model',
	convert => 'util tensor format text exec kv model gen',
	store   => 'util',
	serve   => 'util store text kv model gen convert',
);
my @rooms = qw(util tensor format text exec kv model gen convert store serve);

# System headers that belong to one room or two.
my @kept = (
	[ qr{^CL/|^clblast},                                     'exec' ],
	[ qr{^(?:sys/socket|netinet/|arpa/|netdb|microhttpd)},   'serve store' ],
	[ qr{^zip\.h},                                           'format' ],
	[ qr{^cjson/|^cJSON},                                    'util' ],
	[ qr{^yaml\.h},                                          'util' ],
	[ qr{^pcre2},                                            'text' ],
	[ qr{^(?:sqlite3|curl/)},                                'store' ],
);

# Limits: lines of a file, of a door, of a command, of a function; columns.
my ($FILE, $DOOR, $COMMAND, $FUNCTION, $COLUMNS) = (500, 170, 400, 70, 100);
# Files that are mostly a table, or a function that is one, may run on.
my %tables = map { $_ => 1 } qw();

sub slurp
{
	my ($path) = @_;

	open my $f, '<', $path or die "$path: $!\n";
	local $/;
	return <$f> // '';
}

# The text with comments and what stands in quotes blanked, lines kept.
sub bare
{
	my ($text) = @_;

	$text =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}
	          { my $s = $1; $s =~ tr/\n//cd; $s }gse;
	return $text;
}

# "PATH:LINE: what" of each match.
sub places
{
	my ($path, $text, $pattern, $what) = @_;
	my @found;

	while ($text =~ /$pattern/g) {
		my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
		push @found, "$path:$line: $what " . ($1 // $&);
	}
	return @found;
}

sub none_of
{
	my ($name, @found) = @_;

	ok(!@found, $name) or diag(join "\n", @found);
}

sub wrong_includes
{
	my ($room, $path) = @_;
	my (@found, $n);

	for my $line (split /\n/, slurp($path)) {
		$n++;
		if ($line =~ /^\s*#\s*include\s*"([^"]+)"/) {
			my $name = $1;
			next if $name !~ m{/} && -e "libcore/$room/$name";
			my ($to, $file) = $name =~ m{^(\w+)/([^/]+)$};
			if (!$to) {
				push @found, "$path:$n: \"$name\": expected ROOM/FILE";
			} elsif ($to eq $room) {
				next;
			} elsif (" $sees{$room} " !~ / $to /) {
				push @found, "$path:$n: $room may not see $to";
			} elsif ($to ne 'util' && $file ne "$to.h") {
				push @found, "$path:$n: the door of $to is $to/$to.h";
			}
		} elsif ($line =~ /^\s*#\s*include\s*<([^>]+)>/) {
			my $name = $1;
			for my $rule (@kept) {
				push @found, "$path:$n: <$name> is for $rule->[1]"
				    if $name =~ $rule->[0] && " $rule->[1] " !~ / $room /;
			}
		}
	}
	return @found;
}

# Functions as the style lays them out: from "{" to "}" in the first column.
sub long_functions
{
	my ($path) = @_;
	my ($n, $start, @found) = (0, 0);

	for my $line (split /\n/, slurp($path)) {
		$n++;
		$start = $n if $line =~ /^\{/;
		if ($line =~ /^\}/ && $start) {
			my $length = $n - $start - 1;
			my $most = $path =~ m{^kernels/} ? 100 : $FUNCTION; # a kernel is one loop nest
			push @found, "$path:$start: a function of $length lines, at most $most"
			    if $length > $most;
			$start = 0;
		}
	}
	return @found;
}

sub too_long
{
	my ($path) = @_;
	my $text = slurp($path);
	my $lines = ($text =~ tr/\n//);
	my ($room) = $path =~ m{^libcore/(\w+)/\1\.h$};
	my $most = $room ? $DOOR : $path =~ m{^cmd/} ? $COMMAND : $FILE;

	return if $tables{$path};
	return (($lines > $most ? "$path: $lines lines, at most $most" : ()), long_functions($path));
}

# A tab counts four here, so that nobody's editor decides.
sub too_wide
{
	my ($path) = @_;
	my ($n, @found) = (0);

	for my $line (split /\n/, slurp($path)) {
		$n++;
		1 while $line =~ s/\t/' ' x (4 - $-[0] % 4)/e;
		utf8::decode($line);
		push @found, "$path:$n: " . length($line) . " columns" if length($line) > $COLUMNS;
	}
	return @found;
}

my @core = grep { -f } map { glob "libcore/$_/*.[ch]" } @rooms;
my @cmd = glob 'cmd/*.[ch]';
my @kernels = grep { /\.(?:cl|clh|h|c)$/ } glob 'kernels/* kernels/*/*';
# A suite, or a header that only suites include, is not the library.
my %used = map { $_ => 1 } map { slurp($_) =~ /^\s*#\s*include\s*"([^"]+)"/mg }
    grep { !/_check\.c$/ } @core, @cmd;
my @checks = grep { /_check\.c$/ || (m{^libcore/(.*\.h)$} && !$used{$1}) } @core;
my %is_check = map { $_ => 1 } @checks;
my @library = grep { !$is_check{$_} } @core;

ok(@library > 0, 'there is a library') or BAIL_OUT('run it from the top of the tree');

for my $room (@rooms) {
	my @files = glob "libcore/$room/*.[ch]";
	none_of("$room includes what it may", map { wrong_includes($room, $_) } @files) if @files;
}
for my $dir (map { s{libcore/}{}r } glob 'libcore/*') {
	ok(exists $sees{$dir}, "$dir is a room") or diag('name it here, in the Makefile, in the guide');
}
none_of('commands come in by the doors', map {
	my $path = $_;
	grep { $_ } map {
		m{"(?:(\w+)/)?([\w.]+)"} && defined $1 && $1 ne 'util' && $2 ne "$1.h" ?
			"$path: the door of $1 is $1/$1.h" : ''
	} slurp($path) =~ /^\s*#\s*include\s*("[^"]+")/mg
} @cmd);

none_of('the library does not print or exit', map {
	my $text = bare(slurp($_));
	(places($_, $text, qr/\b((?:v?printf|puts|putchar|perror|psignal|_?exit|_Exit|abort|
	                          quick_exit|errx?|warnx?|syslog)\s*\()/x, 'calls'),
	 places($_, $text, qr/\b(stdout|stderr|argv)\b/, 'names'))
} @library);
none_of('no call without a bound, no jump out', map {
	places($_, bare(slurp($_)), qr/\b((?:alloca|longjmp|setjmp|gets|sprintf|strtok)\s*\()/,
	       'calls')
} @library, @cmd);

my $unfinished = join '|', 'X' x 3, map { scalar reverse } qw(ODOT EMXIF KCAH);
none_of('nothing is put off', map {
	places($_, slurp($_), qr/\b($unfinished)\b/, 'says')
} @core, @cmd, @kernels, grep { -f } glob 'Makefile scripts/* tests/*.c tests/*.t tests/cmd/*');

none_of('each file names its licence first', map {
	slurp($_) =~ m{^(?:/\*|//) SPDX-License-Identifier: MIT} ? () : $_
} @core, @cmd);
none_of('nothing runs on', map { too_long($_) } @library, @cmd, @kernels);
none_of('no suite runs on', map { too_long($_) } @checks);
none_of("no line over $COLUMNS columns", map { too_wide($_) } @core, @cmd, @kernels);

my %times;
$times{s{.*/}{}r}++ for grep { /\.c$/ } @checks;
none_of('a name for one suite only', grep { $times{$_} > 1 } sort keys %times);

done_testing();
