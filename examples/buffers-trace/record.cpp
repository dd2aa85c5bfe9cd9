#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <format>
#include <print>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "commands.hpp"

import buffers;

namespace buffers_trace {

namespace {

namespace fs = std::filesystem;

/// The library that is preloaded: beside this program, or where it is installed.
fs::path preloaded_library() {
  const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& folder : {beside, (beside / BUFFERS_TRACE_LIBRARY_FOLDER).lexically_normal()})
    if (std::error_code error; fs::exists(folder / BUFFERS_TRACE_LIBRARY, error)) return folder / BUFFERS_TRACE_LIBRARY;
  throw std::system_error(ENOENT, std::generic_category(), BUFFERS_TRACE_LIBRARY);
}

/// Makes this process the program; returns why not.
int become(const record_command& wanted, const std::string& library, const std::string& file) {
  std::string preload = library;
  if (const char* const others = std::getenv("LD_PRELOAD"); others != nullptr && *others != 0)
    preload += std::string(":") + others;
  setenv("LD_PRELOAD", preload.c_str(), 1);
  setenv("BUFFERS_TRACE", file.c_str(), 1);
  setenv("BUFFERS_TRACE_PROCESS", std::to_string(getpid()).c_str(), 1);
  if (wanted.children)
    setenv("BUFFERS_TRACE_CHILDREN", "1", 1);
  else
    unsetenv("BUFFERS_TRACE_CHILDREN");
  execvp(wanted.program.front(), wanted.program.data());
  return errno;
}

/// The file for the trace. What it held stays until the program, which empties it, has begun.
class trace_file {
 public:
  explicit trace_file(const std::string& path) : path_(path) {
    if (const fs::file_status is = fs::status(path); fs::exists(is) && !fs::is_regular_file(is))
      throw std::runtime_error(path + ": not a regular file");
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    is_new_ = file >= 0;
    if (file < 0 && errno == EEXIST) file = open(path.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    if (file < 0) throw std::system_error(errno, std::generic_category(), path);
    close(file);
  }

  /// Whether this is the trace of that process, begun after this was made.
  bool is_of(pid_t process) const {
    try {
      const buffers::trace_reader reader(path_);
      return reader.process() == static_cast<std::uint64_t>(process) && reader.started() >= made_;
    } catch (const buffers::trace_error&) {
      return false;
    }
  }
  /// Leaves nothing behind where nothing was.
  void remove_new() const {
    if (is_new_) unlink(path_.c_str());
  }

 private:
  std::string path_;
  bool is_new_;
  std::int64_t made_ = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
};

}  // namespace

int record(const record_command& wanted) {
  const std::string library = preloaded_library();
  if (library.find_first_of(" :") != std::string::npos) {
    complain("{}: the loader takes no library with a space or colon in its path", library);
    return failure;
  }
  const std::string file =
      wanted.file.empty() ? fs::path(wanted.program.front()).filename().string() + ".trace" : wanted.file;
  const trace_file trace(file);

  int ends[2];  // to say that there is no such program
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    const int error = become(wanted, library, fs::absolute(file));
    [[maybe_unused]] const auto told = write(ends[1], &error, sizeof error);
    _exit(not_found);
  }
  close(ends[1]);
  // The keyboard's signals are for the program: its trace is to be looked at even so.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGQUIT, SIG_IGN);
  int error = 0, status = 0;
  const bool has_failed = read(ends[0], &error, sizeof error) == sizeof error;
  close(ends[0]);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (has_failed) {
    trace.remove_new();
    complain("{}: {}", wanted.program.front(), std::generic_category().message(error));
    return error == ENOENT ? not_found : not_executable;
  }

  if (!trace.is_of(child)) {
    trace.remove_new();
    complain("{}: nothing was recorded; is it linked statically, or does it change its user?", wanted.program.front());
  } else {
    const buffers::replay_summary all = buffers::replayer(file).summary();
    std::println(stderr, "buffers-trace: {}: {} events of {} {}, {} live at most", file, grouped(all.events),
                 all.threads, all.threads == 1 ? "thread" : "threads", bytes_text(all.peak_bytes));
    if (all.damage) complain("{}", said_by(*all.damage));
    if (!buffers::trace_reader(file).is_finished())
      complain("{}: the program did not come to its end: its last events are missing", file);
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace buffers_trace
