// How numbers, and texts from elsewhere, are written: what the pictures and the program buffers-trace have in common.
// It does not look at the locale.
// To be included after <algorithm>, <cstddef>, <cstdint>, <format>, <span>, <string> and <string_view>.
#pragma once
#include "characters.h"

namespace buffers::detail {

struct unit {
  const char* name;
  double size;
};
inline constexpr unit byte_units[] = {{"B", 1}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
inline constexpr unit time_units[] = {{"ns", 1}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}};

inline const unit& unit_of(std::span<const unit> units, double value) {
  std::size_t i = 0;
  while (i + 1 < units.size() && value >= units[i + 1].size) ++i;
  return units[i];
}
inline std::string in_units(std::span<const unit> units, double value) {
  const unit& u = unit_of(units, value);
  const double shown = value / u.size;
  return std::format("{:.{}f} {}", shown, shown >= 100 || u.size == 1 ? 0 : 1, u.name);
}
/// "45.3 MiB".
template <class Number>
std::string bytes_text(Number bytes) {
  return in_units(byte_units, static_cast<double>(bytes));
}
/// "231 ms".
inline std::string time_text(std::uint64_t nanoseconds) {
  return in_units(time_units, static_cast<double>(nanoseconds));
}
/// "1 234 567".
inline std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, " ");
  return text;
}

/// The text in characters that can be shown, with U+FFFD for each byte that is of none. One of more than `most` ends in
/// dots.
inline std::string shown_text(std::string_view text, std::size_t most = SIZE_MAX) {
  std::string shown;
  std::size_t before_dots = 0;
  for (std::size_t count = 0; !text.empty(); ++count) {
    if (count + 3 == most) before_dots = shown.size();
    if (count == most) return shown.substr(0, before_dots) + "...";
    shown += take_character(text, "\xef\xbf\xbd");
  }
  return shown;
}
/// The command line that was recorded, with spaces between the arguments.
inline std::string command_text(std::span<const char> command, std::size_t most = SIZE_MAX) {
  std::string text(command.begin(), command.end());
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return shown_text(text, most);
}

}  // namespace buffers::detail
