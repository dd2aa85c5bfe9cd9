// buffers-trace: records what a program allocates, says what that was, draws it, and tries it on every resource.
//
// Exit code: 0; 1 when a file cannot be read or written, or is damaged (what is whole of it is used); 2 for a command
// line that makes no sense. `record` ends with the exit code of the program that it recorded, with 128 and the number
// of the signal that ended it, with 127 when there is none of that name, and 126 when it cannot be run.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <format>
#include <fstream>
#include <iostream>
#include <optional>
#include <print>
#include <span>
#include <sstream>
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

constexpr std::string_view help =
    "usage: buffers-trace record [-o TRACE] [--children] [--] PROGRAM [ARGUMENT...]\n"
    "       buffers-trace info TRACE\n"
    "       buffers-trace replay [--free-running] [--verify] [--only=NAME]... TRACE\n"
    "       buffers-trace plot [-o FILE] [--map] [--by-thread] [--title=TEXT] TRACE\n"
    "\n"
    "record   runs a program and writes down what it allocates and frees, by default into PROGRAM.trace; with\n"
    "         --children, that of each process that it starts into a file of its own, PROGRAM.trace.PROCESS\n"
    "info     says what is in a trace: how much, when, and of what sizes\n"
    "replay   does the same allocations on every resource of the library, on those of the standard library and on new\n"
    "         and delete, each in a process of its own, and recommends one. --free-running: with the threads of the\n"
    "         program; --verify: looks whether each block keeps its contents; --only: resources with NAME in their "
    "name\n"
    "plot     draws the live bytes over time, or with --map where the blocks lie when most are live: as text, into\n"
    "         FILE.svg as a picture, or into FILE.json for ui.perfetto.dev. --by-thread: coloured by the thread that\n"
    "         allocated, not by size; --title: TEXT above it, not the command that was recorded\n"
    "\n"
    "Exit code: 0; 1 for a file that cannot be read or written or is damaged; 2 for wrong arguments; of record, the\n"
    "program's own, or 128 and the number of the signal that ended it.\n";

/// The arguments of a command, taken from the front.
class arguments {
 public:
  explicit arguments(std::span<char* const> all) : left_(all) {}

  /// Options of `record` come before a "--" or the first argument that is none: what follows is the program's.
  std::optional<std::string_view> option() {
    if (left_.empty() || left_.front()[0] != '-' || left_.front()[1] == 0) return std::nullopt;
    const std::string_view taken = next();
    if (taken == "--") return std::nullopt;
    return taken;
  }
  bool is_empty() const { return left_.empty(); }
  std::string_view next() {
    const std::string_view first = left_.front();
    left_ = left_.subspan(1);
    return first;
  }
  std::span<char* const> rest() const { return left_; }

 private:
  std::span<char* const> left_;
};

struct usage_error {
  std::string what;
};

[[noreturn]] void refuse_option(std::string_view option) {
  throw usage_error{std::format("there is no option {} here; buffers-trace --help says which there are", option)};
}

/// The value of `-o VALUE`, `--name VALUE` or `--name=VALUE`, when the option is that.
std::optional<std::string> value_of(std::string_view option, std::string_view name, arguments& from) {
  if (option.starts_with(name) && option.size() > name.size() && option[name.size()] == '=' && name.starts_with("--"))
    return std::string(option.substr(name.size() + 1));
  if (option != name) return std::nullopt;
  if (from.is_empty()) throw usage_error{std::format("{} needs a value", name)};
  return std::string(from.next());
}

/// The one TRACE. Options, for `take(option, from)`, come before and after it, up to a "--".
template <class Take>
std::string trace_among(arguments& from, Take take) {
  std::optional<std::string> trace;
  bool options = true;
  while (!from.is_empty()) {
    const std::string_view next = from.next();
    if (options && next == "--")
      options = false;
    else if (options && next.size() > 1 && next.starts_with('-'))
      take(next, from);
    else if (trace)
      throw usage_error{std::format("one TRACE at a time, not {} as well", next)};
    else
      trace = next;
  }
  if (!trace) throw usage_error{"which TRACE?"};
  return *trace;
}

int parse_record(arguments from) {
  record_command wanted;
  while (const auto option = from.option()) {
    if (auto file = value_of(*option, "-o", from))
      wanted.file = *file;
    else if (*option == "--children")
      wanted.children = true;
    else
      refuse_option(*option);
  }
  if (from.is_empty()) throw usage_error{"which PROGRAM is to be recorded?"};
  wanted.program.assign(from.rest().begin(), from.rest().end());
  wanted.program.push_back(nullptr);
  return record(wanted);
}

int parse_replay(arguments from) {
  replay_command wanted;
  wanted.trace = trace_among(from, [&](std::string_view option, arguments& values) {
    if (auto name = value_of(option, "--only", values))
      wanted.only.push_back(*name);
    else if (option == "--free-running")
      wanted.free_running = true;
    else if (option == "--verify")
      wanted.verify = true;
    else
      refuse_option(option);
  });
  return replay_on_all(wanted);
}

/// Says where a trace is damaged, which makes it a failure.
int tell(const std::optional<buffers::trace_error>& damage) {
  if (damage) complain("{}", said_by(*damage));
  return damage ? failure : success;
}

int info(const std::string& trace) {
  struct of_size {
    std::uint64_t blocks = 0, bytes = 0;
  };
  std::array<of_size, 65> sizes{};
  buffers::trace_reader reader(trace);
  std::uint64_t end = 0;
  try {
    for (buffers::trace_event e; reader.next(e);) {
      end = std::max(end, e.nanoseconds);
      if (e.operation != buffers::trace_operation::allocate) continue;
      of_size& of = sizes[static_cast<std::size_t>(std::bit_width(e.bytes == 0 ? 0 : e.bytes - 1))];
      ++of.blocks;
      of.bytes += e.bytes;
    }
  } catch (const buffers::trace_error&) {  // said below
  }
  const auto began = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(reader.started()));
  std::println("command       {}", command_text(reader.command()));
  std::println("process       {}, {:%F %T} UTC", reader.process(), std::chrono::floor<std::chrono::seconds>(began));
  std::println("recorded      {:.3f} s{}", 1e-9 * static_cast<double>(end),
               reader.is_finished() ? "" : ", and not to the end: the program was killed, or goes on");
  const buffers::replay_summary all = buffers::replayer(trace).summary();
  std::println("events        {}", grouped(all.events));
  std::println("  allocate    {}", grouped(all.allocations));
  std::println("  deallocate  {}", grouped(all.deallocations));
  std::println("  failed      {}", grouped(all.failed));
  if (all.unknown != 0)
    std::println("  unknown     {}: a block came before the recording, or began where another was not given back",
                 grouped(all.unknown));
  std::println("threads       {}", grouped(all.threads));
  std::println("live at most  {} in {} blocks", bytes_text(all.peak_bytes), grouped(all.peak_blocks));
  std::println("never freed   {} in {} blocks", bytes_text(all.left_bytes), grouped(all.left_blocks));
  std::println("\nbytes each            blocks           bytes");
  for (std::size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i].blocks != 0)
      std::println("up to {:>9} {:>14} {:>15}", bytes_text(std::ldexp(1.0, static_cast<int>(i))),
                   grouped(sizes[i].blocks), bytes_text(sizes[i].bytes));
  std::println("");
  std::cout.flush();
  const auto damage = buffers::draw_trace(std::cout, trace, {.format = buffers::picture_format::text});
  std::cout.flush();
  return tell(damage);
}

struct plot_command {
  buffers::picture_options picture{.format = buffers::picture_format::text};
  std::string file;  // empty: standard output
};

int plot(const std::string& trace, const plot_command& wanted) {
  const std::string& file = wanted.file;
  std::ostringstream drawn;  // first of all: a trace that cannot be read leaves no empty file behind
  const auto damage = buffers::draw_trace(drawn, trace, wanted.picture);
  if (file.empty()) {
    std::cout << drawn.view() << std::flush;
    return tell(damage);
  }
  errno = 0;
  std::ofstream out(file, std::ios::binary);
  out << drawn.view();
  out.close();
  if (!out) {
    complain("{}: {}", file, std::generic_category().message(errno != 0 ? errno : EIO));
    return failure;
  }
  return tell(damage);
}

int parse_info(arguments from) {
  const std::string trace = trace_among(from, [](std::string_view option, arguments&) { refuse_option(option); });
  return info(trace);
}

int parse_plot(arguments from) {
  plot_command wanted;
  std::string title;
  const std::string trace = trace_among(from, [&](std::string_view option, arguments& values) {
    if (auto name = value_of(option, "-o", values))
      wanted.file = *name;
    else if (auto text = value_of(option, "--title", values))
      title = *text;
    else if (option == "--map")
      wanted.picture.kind = buffers::picture_kind::map;
    else if (option == "--by-thread")
      wanted.picture.colour = buffers::picture_colour::thread;
    else
      refuse_option(option);
  });
  wanted.picture.title = title;
  if (wanted.file.ends_with(".svg"))
    wanted.picture.format = buffers::picture_format::svg;
  else if (wanted.file.ends_with(".json"))
    wanted.picture.format = buffers::picture_format::json;
  else if (!wanted.file.empty() && !wanted.file.ends_with(".txt"))
    throw usage_error{std::format("-o {}: a FILE.svg, FILE.json or FILE.txt", wanted.file)};
  return plot(trace, wanted);
}

int run(arguments from) {
  if (from.is_empty()) throw usage_error{"which command? buffers-trace --help says which there are"};
  const std::string_view command = from.next();
  if (command == "--help" || command == "-h" || command == "help") {
    std::print("{}", help);
    return success;
  }
  if (command == "--version") {
    std::println("buffers-trace {}.{}.{}", buffers::version.major, buffers::version.minor, buffers::version.patch);
    return success;
  }
  for (const char* const argument : from.rest()) {
    if (std::string_view(argument) == "--" || command == "record") break;
    if (std::string_view(argument) == "--help") {
      std::print("{}", help);
      return success;
    }
  }
  if (command == "record") return parse_record(from);
  if (command == "info") return parse_info(from);
  if (command == "replay") return parse_replay(from);
  if (command == "plot") return parse_plot(from);
  throw usage_error{std::format("there is no command {}; buffers-trace --help says which there are", command)};
}

}  // namespace
}  // namespace buffers_trace

int main(int argc, char** argv) {
  using namespace buffers_trace;
  int status;
  try {
    status = run(arguments(std::span(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0)));
  } catch (const usage_error& error) {
    complain("{}", error.what);
    return wrong_usage;
  } catch (const std::runtime_error& error) {  // a system_error, or a trace_error
    complain("{}", said_by(error));
    return failure;
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    return failure;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
    complain("standard output: {}", std::generic_category().message(errno));
    return failure;
  }
  return status;
}
