// How long does a program take to compile that imports buffers and evaluates ten expressions? Against the same program
// with the libraries that people use for them: each is compiled again and again by the command that built it.
//
//     benchmarks/run compile
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "driver.h"

namespace {

const std::string build = BENCH_BUILD, folder = BENCH_FOLDER;

// What is between the quotes after `"key": `, without the backslashes that JSON needs.
std::string value_of(const std::string& line, const std::string& key) {
  const std::string begin = "\"" + key + "\": \"";
  const auto at = line.find(begin);
  std::string value;
  if (at == std::string::npos) return value;
  for (std::size_t i = at + begin.size(); i < line.size() && line[i] != '"'; ++i)
    value += line[i] == '\\' ? line[++i] : line[i];
  return value;
}

// The command of this build that compiles a file of this folder, to be run in the folder of the build.
std::optional<std::string> command_for(const std::string& file) {
  std::ifstream commands(build + "/compile_commands.json");
  std::string command;
  for (std::string line; std::getline(commands, line);) {
    if (const std::string found = value_of(line, "command"); !found.empty()) command = found;
    if (value_of(line, "file") == folder + "/" + file) return "cd '" + build + "' && " + command;
  }
  return std::nullopt;
}

// What the program that was built of it prints: the same for all.
std::string printed_by(const std::string& program) {
  std::string text;
  if (FILE* const output = popen(("'" + build + "/benchmarks/" + program + "'").c_str(), "r")) {
    for (int c; (c = std::fgetc(output)) != EOF;) text += static_cast<char>(c);
    pclose(output);
  }
  return text;
}

double seconds_of_children() {
  rusage used;
  getrusage(RUSAGE_CHILDREN, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

bench::outcome compile(const std::string& file) {
  const std::optional<std::string> command = command_for(file);
  if (!command) return bench::absent;
  const double before = seconds_of_children();
  if (std::system(command->c_str()) != 0) std::exit(1);
  return {.seconds = seconds_of_children() - before};
}

}  // namespace

int main(int argc, char** argv) {
  const bench::arguments asked(argc, argv);
  bench::pin_to_one_processor();
  asked.ask("expressions", [] {
    const std::string ours = printed_by("ten_buffers");
    for (const std::string peer : {"ten_eigen", "ten_xtensor"}) {
      if (!command_for(peer + ".cpp")) continue;  // not on this machine
      if (const std::string theirs = printed_by(peer); theirs != ours) {
        std::fprintf(stderr, "%s prints %sand ten_buffers %s", peer.c_str(), theirs.c_str(), ours.c_str());
        std::exit(1);
      }
    }
    bench::comparison question("a program of ten expressions, compiled", 1, 7);
    question.in_seconds();
    question.ours_alone("buffers", [] { return compile("ten_buffers.cpp"); });
    question.peer_alone("Eigen", [] { return compile("ten_eigen.cpp"); });
    question.peer_alone("xtensor", [] { return compile("ten_xtensor.cpp"); });
    question.measure();
    question.target("seconds", question.of("buffers"), 3.00);
    question.target("buffers / best peer", question.of("buffers") / question.best_peer(), 1.00);
  });
}
