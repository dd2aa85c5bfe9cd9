// NumPy as a contestant: a Python that waits at a pipe until it is its turn.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "driver.h"

namespace bench {

class numpy_process {
 public:
  numpy_process() {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) std::abort();
    child_ = fork();
    if (child_ == 0) {
      dup2(down[0], 0);
      dup2(up[1], 1);
      if (const int nowhere = open("/dev/null", O_WRONLY); nowhere >= 0) dup2(nowhere, 2);
      execl("/usr/bin/python3", "python3", BENCH_NUMPY, static_cast<char*>(nullptr));
      _exit(1);
    }
    close(down[0]);
    close(up[1]);
    to_ = fdopen(down[1], "w");
    from_ = fdopen(up[0], "r");
    signal(SIGPIPE, SIG_IGN);
  }
  numpy_process(const numpy_process&) = delete;
  numpy_process& operator=(const numpy_process&) = delete;
  ~numpy_process() {
    std::fclose(to_);
    std::fclose(from_);
    waitpid(child_, nullptr, 0);
  }

  outcome run(const std::string& operation, std::size_t side, std::size_t repeats) {
    outcome result = absent;
    std::fprintf(to_, "%s %zu %zu\n", operation.c_str(), side, repeats);
    std::fflush(to_);
    if (std::fscanf(from_, "%lf", &result.seconds) != 1) return absent;  // there is no NumPy
    return result;
  }

 private:
  pid_t child_;
  std::FILE *to_, *from_;
};

/// The seconds that NumPy takes for so many runs of an operation of run_numpy.py.
inline outcome numpy(const std::string& operation, std::size_t side, std::size_t repeats) {
  static numpy_process process;
  return process.run(operation, side, repeats);
}

}  // namespace bench
