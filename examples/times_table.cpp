// times_table: a program without a heap. Its table, and the text of each of its lines, lie in a bump_resource over a
// static array.
//
//     times_table [ROWS COLUMNS]     12 and 7 when they are not given
//
// Exit code: 0; 1 when the table is too large for the array or cannot be written; 2 for wrong arguments.
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <mdspan>
#include <new>
#include <span>
#include <string_view>
#include <system_error>

import buffers;

namespace {

alignas(64) std::byte storage[128'000];

bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

int refuse(int exit_code, std::string_view why) {
  write_all(STDERR_FILENO, "times_table: ");
  write_all(STDERR_FILENO, why);
  write_all(STDERR_FILENO, "\n");
  return exit_code;
}

/// 0 for what is no positive number.
std::size_t to_number(std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
  return error == std::errc() && end == text.end() ? number : 0;
}

bool print(auto& buffer, auto table) {
  constexpr std::size_t widest = 20;  // digits of a std::size_t
  for (std::size_t i = 0; i < table.extent(0); ++i) {
    buffers::scope line_scope{buffer};
    const auto line = buffers::alloc<char>(buffer, table.extent(1), widest + 1);
    char* end = line.data_handle();
    for (std::size_t j = 0; j < table.extent(1); ++j) {
      end = std::to_chars(end, end + widest, table[i, j]).ptr;
      *end++ = j + 1 < table.extent(1) ? '\t' : '\n';
    }
    if (!write_all(STDOUT_FILENO, {line.data_handle(), end})) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 1 && argc != 3) return refuse(2, "usage: times_table [ROWS COLUMNS]");
  const std::size_t rows = argc == 3 ? to_number(argv[1]) : 12;
  const std::size_t columns = argc == 3 ? to_number(argv[2]) : 7;
  if (rows == 0 || columns == 0) return refuse(2, "ROWS and COLUMNS are whole numbers from 1 on");

  try {
    buffers::bump_resource buffer{std::span{storage}};
    const auto table = buffers::alloc<std::size_t>(buffer, rows, columns);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j) table[i, j] = (i + 1) * (j + 1);
    return print(buffer, table) ? 0 : refuse(1, "the table cannot be written");
  } catch (const std::bad_alloc& full) {  // buffers::exhausted, or more bytes than any array can have
    return refuse(1, full.what());
  }
}
