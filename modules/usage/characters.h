// Which bytes of a name that comes from elsewhere can be shown: what the pictures and the meter's report have in
// common. To be included after <algorithm>, <cstddef> and <string_view>.
#pragma once

namespace buffers::detail {

/// The bytes of the UTF-8 character that a text begins with. 0 when it begins with none that a terminal shows and a
/// parser takes: with other bytes, a control character, or not at all.
[[nodiscard]] inline std::size_t character_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) < ' ' || byte(0) == 0x7f ? 0 : 1;
  const std::size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc0 || byte(0) > 0xf7 || text.size() < length) return 0;
  char32_t code = byte(0) & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr char32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};  // of each length, control characters left out
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least[length] || code > 0x10ffff || is_surrogate || code == 0xfffe || code == 0xffff) return 0;
  return length;
}

/// Takes a character, or a byte that is of none, from the front of a text: `other` stands for that.
[[nodiscard]] inline std::string_view take_character(std::string_view& text, std::string_view other) noexcept {
  const std::size_t length = character_length(text);
  const std::string_view taken = length != 0 ? text.substr(0, length) : other;
  text.remove_prefix(std::max<std::size_t>(length, 1));
  return taken;
}

}  // namespace buffers::detail
