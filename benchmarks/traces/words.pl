# Makes a text, counts its words, indexes and joins lines. The same allocations every time.
use strict;
use warnings;

my $seed = 1;
sub random { $seed = ($seed * 1103515245 + 12345) % 2147483648; return int($seed / 65536) % $_[0]; }

my @words = map { join '', map { chr(97 + random(26)) } 0 .. 2 + random(9) } 1 .. 4000;
my @lines = map { join ' ', map { $words[random(scalar @words)] } 1 .. 4 + random(12) } 1 .. 6000;

my (%count, %lines_of);
for my $number (0 .. $#lines) {
  for my $word (split / /, $lines[$number]) {
    $count{$word}++;
    push @{$lines_of{$word}}, $number;
  }
}
my @ranked = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
my %pairs;
for my $line (@lines) {
  my @in_line = split / /, $line;
  $pairs{"$in_line[$_] $in_line[$_ + 1]"}++ for 0 .. $#in_line - 1;
}
my $text = join "\n", map { (my $changed = $_) =~ s/([aeiou])/<$1>/g; $changed } @lines;
print scalar(@ranked), ' ', $ranked[0], ' ', scalar(keys %pairs), ' ', length($text), "\n";
