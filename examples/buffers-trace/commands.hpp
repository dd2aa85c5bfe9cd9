// What the parts of buffers-trace share.
// To be included after <algorithm>, <cstddef>, <cstdint>, <cstdio>, <exception>, <format>, <print>, <span>, <string>,
// <string_view>, <utility> and <vector>.
#pragma once
#include "text.h"

namespace buffers_trace {

/// Exit codes; `record` ends with that of the program.
inline constexpr int success = 0, failure = 1, wrong_usage = 2, not_executable = 126, not_found = 127;

/// One line on stderr.
template <class... Args>
void complain(std::format_string<Args...> format, Args&&... args) {
  std::println(stderr, "buffers-trace: {}", std::format(format, std::forward<Args>(args)...));
}

/// What an error says, which begins with the library's name and the file's, without the library's.
inline std::string_view said_by(const std::exception& error) {
  constexpr std::string_view library = "buffers: ";
  const std::string_view all = error.what();
  return all.starts_with(library) ? all.substr(library.size()) : all;
}

using buffers::detail::bytes_text;
using buffers::detail::command_text;
using buffers::detail::grouped;

struct record_command {
  std::string file;  // by default, the program's name and .trace
  bool children = false;
  std::vector<char*> program;  // and its arguments, and null
};
int record(const record_command& wanted);

struct replay_command {
  std::string trace;
  bool free_running = false, verify = false;
  std::vector<std::string> only;
};
int replay_on_all(const replay_command& wanted);

}  // namespace buffers_trace
