// What the compiler is recorded with.
#include <algorithm>
#include <format>
#include <map>
#include <ranges>
#include <regex>
#include <string>
#include <vector>

std::map<std::string, int> words(const std::string& text) {
  static const std::regex word{"[a-z]+"};
  std::map<std::string, int> counted;
  for (std::sregex_iterator i{text.begin(), text.end(), word}, end; i != end; ++i) ++counted[i->str()];
  return counted;
}

std::string table(const std::map<std::string, int>& counted) {
  std::string lines;
  for (const auto& [word, count] : counted | std::views::filter([](const auto& c) { return c.second > 1; }))
    lines += std::format("{:>8} {}\n", count, word);
  return lines;
}
