// Runs contestants against each other: all of them in every round, in random order, pinned to one processor, in
// processor time; the median of the rounds counts. On a shared machine only the ratios mean something.
#pragma once
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace bench {

/// Makes the compiler believe that the value is used, and that all memory may have changed.
template <class T>
inline void use(T value) {
  asm volatile("" : : "r"(value) : "memory");
}

inline double processor_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline void pin_to_one_processor() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(sched_getcpu()), &one);
  sched_setaffinity(0, sizeof one, &one);
}

/// The seconds that one run takes, after some to warm up: for contestants that run in a process of their own.
template <class Run>
double timed(Run run) {
  for (int i = 0; i < 5; ++i) run();
  const double begin = processor_seconds();
  for (int i = 0; i < 3; ++i) run();
  return (processor_seconds() - begin) / 3;
}

struct contestant {
  std::string name;
  std::function<double()> seconds;  // of one run
  bool peer = true;                 // somebody else's
  double median = 0;                // nanoseconds per operation
};

/// A comparison on one question: prints a table, and the targets with what they came to.
class comparison {
 public:
  comparison(std::string question, std::size_t operations_per_run, int rounds = 31)
      : question_(std::move(question)), operations_(operations_per_run), rounds_(rounds) {}

  void ours(std::string name, std::function<void()> run) {
    all_.push_back({std::move(name), clocked(std::move(run)), false});
  }
  void peer(std::string name, std::function<void()> run) {
    all_.push_back({std::move(name), clocked(std::move(run)), true});
  }
  /// These set themselves up and time themselves, in a child process for each round: what one leaves in the heap does
  /// not help or hinder the others.
  void ours_alone(std::string name, double (*seconds)()) { all_.push_back({std::move(name), forked(seconds), false}); }
  void peer_alone(std::string name, double (*seconds)()) { all_.push_back({std::move(name), forked(seconds), true}); }

  void measure() {
    std::mt19937 random{42};
    std::vector<std::size_t> order(all_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::vector<std::vector<double>> times(all_.size());
    for (int round = -1; round < rounds_; ++round) {
      std::ranges::shuffle(order, random);
      for (std::size_t i : order) {
        const double seconds = all_[i].seconds();
        if (round >= 0) times[i].push_back(seconds);  // the first round warms up
      }
    }
    for (std::size_t i = 0; i < all_.size(); ++i) {
      std::ranges::sort(times[i]);
      all_[i].median = times[i][times[i].size() / 2] * 1e9 / static_cast<double>(operations_);
    }
    print();
  }

  double of(const std::string& name) const {
    for (const contestant& c : all_)
      if (c.name == name) return c.median;
    return 0;  // not on this machine
  }
  /// The fastest peer's nanoseconds.
  double best_peer() const {
    double best = 0;
    for (const contestant& c : all_)
      if (c.peer && (best == 0 || c.median < best)) best = c.median;
    return best;
  }
  /// "target 0.80, reached 0.76: ok".
  void target(const std::string& what, double reached, double at_most) const {
    if (!(reached > 0)) return;
    std::printf("    %-72s at most %.2f: %.2f %s\n", what.c_str(), at_most, reached,
                reached <= at_most ? "" : "  MISSED");
  }

 private:
  static std::function<double()> clocked(std::function<void()> run) {
    return [run = std::move(run)] {
      const double begin = processor_seconds();
      run();
      return processor_seconds() - begin;
    };
  }
  static std::function<double()> forked(double (*seconds)()) {
    return [seconds] {
      int ends[2];
      double result = 0;
      if (pipe(ends) != 0) std::abort();
      if (const pid_t child = fork(); child == 0) {
        result = seconds();
        _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
      } else {
        if (read(ends[0], &result, sizeof result) != sizeof result) std::abort();
        waitpid(child, nullptr, 0);
      }
      close(ends[0]);
      close(ends[1]);
      return result;
    };
  }
  void print() const {
    const double best = best_peer();
    std::printf("\n%s\n", question_.c_str());
    for (const contestant& c : all_)
      std::printf("    %-48s %10.2f ns   %6.2f x the best peer%s\n", c.name.c_str(), c.median,
                  best > 0 ? c.median / best : 0, c.peer ? "" : "   *");
    std::fflush(stdout);
  }

  std::string question_;
  std::size_t operations_;
  int rounds_;
  std::vector<contestant> all_;
};

}  // namespace bench
