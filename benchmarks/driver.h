// Runs contestants against each other: all of them in every round, in random order, pinned to one processor, in
// processor time; the median of the rounds counts. On a shared machine only the ratios mean something.
#pragma once
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Makes the compiler believe that the value is used, and that all memory may have changed.
template <class T>
inline void use(T value) {
  asm volatile("" : : "r"(value) : "memory");
}

inline double processor_seconds(clockid_t of = CLOCK_PROCESS_CPUTIME_ID) {
  timespec now;
  clock_gettime(of, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline void pin_to_processor(unsigned processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  sched_setaffinity(0, sizeof one, &one);
}

/// The processors that this program may use.
inline std::vector<unsigned> processors() {
  cpu_set_t set;
  sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> all;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) all.push_back(i);
  return all;
}

inline void pin_to_one_processor() { pin_to_processor(static_cast<unsigned>(sched_getcpu())); }

// --- What the command line asks for ----------------------------------------------------------------------------------

inline bool quick = false;             // few rounds, for a first look
inline std::vector<std::string> only;  // contestants whose names begin with one of these, or all of them

/// PROGRAM [--quick] [--only=TEXT]... [PART]...
class arguments {
 public:
  arguments(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (argument == "--quick")
        quick = true;
      else if (argument.starts_with("--only="))
        only.push_back(argument.substr(7));
      else
        parts_.push_back(argument);
    }
  }
  bool asked_for(const std::string& part) const { return parts_.empty() || std::ranges::contains(parts_, part); }
  /// Asks a part's questions, if they are to be asked, in a process of their own: malloc adapts to what a process has
  /// freed, so that after other questions a contestant's memory may not go back to the system as it would in a program.
  template <class Questions>
  void ask(const std::string& part, Questions questions) const {
    if (!asked_for(part)) return;
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      questions();
      std::fflush(stdout);
      _exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    if (status != 0) std::exit(1);
  }

 private:
  std::vector<std::string> parts_;
};

// --- Memory ----------------------------------------------------------------------------------------------------------

/// An array in pages of its own that are all touched: it takes nothing from a heap, and what a contestant makes
/// resident is not mixed up with it.
template <class T>
class pages {
 public:
  explicit pages(std::size_t count) : count_(count) {
    void* const memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    first_ = static_cast<T*>(memory);
    std::memset(memory, 0, bytes());
  }
  pages(pages&& other) noexcept : first_(std::exchange(other.first_, nullptr)), count_(other.count_) {}
  ~pages() {
    if (first_) munmap(first_, bytes());
  }
  T* begin() const { return first_; }
  T* end() const { return first_ + count_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return first_[i]; }

 private:
  std::size_t bytes() const { return std::max<std::size_t>(count_ * sizeof(T), 1); }

  T* first_;
  std::size_t count_;
};

/// The memory that this process has made resident since this was constructed, code and other files left out.
class residence {
 public:
  residence() {
    if (const int file = open("/proc/self/clear_refs", O_WRONLY); file >= 0) {
      [[maybe_unused]] const auto written = write(file, "5", 1);  // the highest is now the present
      close(file);
    }
    before_ = now();
  }
  double peak() const {
    const status read;
    return std::max(0.0, read.bytes("VmHWM:") - read.bytes("RssFile:") - before_);
  }
  double now() const { return std::max(0.0, status{}.bytes("RssAnon:") - before_); }

 private:
  class status {
   public:
    status() {
      const int file = open("/proc/self/status", O_RDONLY);
      const auto length = read(file, text_, sizeof text_ - 1);
      text_[length < 0 ? 0 : length] = 0;
      close(file);
    }
    double bytes(const char* field) const {
      const char* const found = std::strstr(text_, field);
      return found ? 1024 * std::strtod(found + std::strlen(field), nullptr) : 0;
    }

   private:
    char text_[8192];
  };

  double before_ = 0;
};

// --- Contestants -----------------------------------------------------------------------------------------------------

/// What one run came to. A contestant that this machine does not have returns `absent`.
struct outcome {
  double seconds = 0;
  double peak = 0, kept = 0;         // resident bytes: at most, and when all blocks are given back
  double first = 0, first_peak = 0;  // of the very first run, where that was looked at
  std::array<double, 4> quarters{};  // resident bytes after each quarter of the work, likewise
};
inline constexpr outcome absent{.seconds = -1};

/// The seconds that one run takes, after some to warm up: for contestants that run in a process of their own.
template <class Run>
double timed(Run run, int warm_up = 5, int runs = 3) {
  for (int i = 0; i < warm_up; ++i) run();
  const double begin = processor_seconds();
  for (int i = 0; i < runs; ++i) run();
  return (processor_seconds() - begin) / runs;
}

struct contestant {
  std::string name;
  std::function<outcome()> run;
  bool peer = true;              // somebody else's
  bool limit = false;            // what nobody could be faster than
  bool alone = false;            // in a process of its own, where a round before has no effect
  std::vector<outcome> rounds;   // one of each round
  double first_peak = 0;         // resident bytes after the very first run
  double median = 0, first = 0;  // nanoseconds per operation, or seconds
  double peak = 0, kept = 0;     // medians as well
  std::array<double, 4> quarters{};
};

/// A comparison on one question: prints a table, and the targets with what they came to.
class comparison {
 public:
  comparison(std::string question, std::size_t operations_per_run, int rounds = 31)
      : question_(std::move(question)),
        operations_(operations_per_run),
        rounds_(quick ? std::min(rounds, 3) : rounds) {}

  void ours(std::string name, std::function<void()> run) { add({std::move(name), clocked(std::move(run)), false}); }
  void peer(std::string name, std::function<void()> run) { add({std::move(name), clocked(std::move(run)), true}); }

  void limit(std::string name, std::function<void()> run) {
    add({.name = std::move(name), .run = clocked(std::move(run)), .peer = false, .limit = true});
  }
  /// Runs in a process that measures itself.
  void peer_elsewhere(std::string name, std::function<outcome()> run) { add({std::move(name), std::move(run), true}); }

  /// These set themselves up and return their seconds or their outcome, in a child process for each round: what one
  /// leaves in the heap does not help or hinder the others.
  template <class Run>
  void ours_alone(const std::string& name, Run run) {
    add({.name = name, .run = forked(name, std::move(run)), .peer = false, .alone = true});
  }
  template <class Run>
  void peer_alone(const std::string& name, Run run) {
    add({.name = name, .run = forked(name, std::move(run)), .alone = true});
  }

  /// What takes so long that the table, and what of() returns, is in seconds.
  void in_seconds() {
    unit_ = "s ";
    in_a_second_ = 1;
  }
  /// The bytes that are live at most, to compare the resident ones with.
  void live_peak(double bytes) { live_peak_ = bytes; }

  void measure() {
    std::mt19937 random{42};
    std::vector<std::size_t> order(all_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (const contestant& c : all_)
      if (!c.alone) c.run();  // to warm up
    for (int round = 0; round < rounds_; ++round) {
      std::ranges::shuffle(order, random);
      for (std::size_t i : order) all_[i].rounds.push_back(all_[i].run());
    }
    std::erase_if(all_, [](const contestant& c) { return c.rounds.front().seconds < 0; });
    for (contestant& c : all_) {
      c.median = median(c, &outcome::seconds) * in_a_second_ / static_cast<double>(operations_);
      c.first = median(c, &outcome::first) * in_a_second_ / static_cast<double>(operations_);
      c.first_peak = median(c, &outcome::first_peak);
      c.peak = median(c, &outcome::peak);
      c.kept = median(c, &outcome::kept);
      for (std::size_t i = 0; i < c.quarters.size(); ++i)
        c.quarters[i] = median(c, [i](const outcome& o) { return o.quarters[i]; });
    }
    print();
  }

  const std::vector<contestant>& all() const { return all_; }
  const contestant* find(const std::string& name) const {
    const auto found = std::ranges::find(all_, name, &contestant::name);
    return found == all_.end() ? nullptr : &*found;
  }
  /// Nanoseconds, or seconds; zero where the machine does not have it.
  double of(const std::string& name) const { return find(name) ? find(name)->median : 0; }
  double peak_of(const std::string& name) const { return find(name) ? find(name)->peak : 0; }
  /// The fastest peer's time, and the leanest one's peak.
  double best_peer() const { return least(&contestant::median); }
  double leanest_peer() const { return least(&contestant::peak); }

  /// "target 0.80, reached 0.76: ok". Nothing where one of the two compared did not take part.
  void target(const std::string& what, double reached, double at_most) const {
    if (!(reached > 0) || std::isinf(reached)) return;
    std::printf("    %-72s at most %.2f: %.2f %s\n", what.c_str(), at_most, reached,
                reached <= at_most ? "" : "  MISSED");
    std::fflush(stdout);
  }

 private:
  void add(contestant c) {
    if (only.empty() || std::ranges::any_of(only, [&](const std::string& text) { return c.name.starts_with(text); }))
      all_.push_back(std::move(c));
  }
  static std::function<outcome()> clocked(std::function<void()> run) {
    return [run = std::move(run)] {
      const double begin = processor_seconds();
      run();
      return outcome{processor_seconds() - begin};
    };
  }
  template <class Run>
  static std::function<outcome()> forked(const std::string& name, Run run) {
    return [name, run = std::move(run)] {
      int ends[2];
      outcome result;
      if (pipe(ends) != 0) std::abort();
      if (const pid_t child = fork(); child == 0) {
        result = outcome{run()};
        _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
      } else {
        close(ends[1]);  // so that a child that dies ends the reading
        if (read(ends[0], &result, sizeof result) != sizeof result) {
          std::fprintf(stderr, "%s: the process that measures it has died\n", name.c_str());
          std::exit(1);
        }
        waitpid(child, nullptr, 0);
      }
      close(ends[0]);
      return result;
    };
  }
  template <class Value>
  static double median(const contestant& c, Value value) {
    std::vector<double> values;
    for (const outcome& o : c.rounds) values.push_back(std::invoke(value, o));
    std::ranges::sort(values);
    return values[values.size() / 2];
  }
  double least(double contestant::* value) const {
    double best = 0;
    for (const contestant& c : all_)
      if (c.peer && (best == 0 || c.*value < best)) best = c.*value;
    return best;
  }
  void print() const {
    const double best = best_peer();
    const bool memory = std::ranges::any_of(all_, [](const contestant& c) { return c.peak > 0; });
    const bool first = std::ranges::any_of(all_, [](const contestant& c) { return c.first > 0; });
    const bool quarters = std::ranges::any_of(all_, [](const contestant& c) { return c.quarters[0] > 0; });
    std::printf("\n%s%s%s%s%s\n", question_.c_str(), first ? "; the first time" : "",
                memory ? "; resident at most, and when all is given back" : "",
                live_peak_ > 0 ? "; at most / most live, the first time and after all" : "",
                quarters ? "; resident after each quarter" : "");
    for (const contestant& c : all_) {
      std::printf("    %-48s %10.2f %s   %6.2f x the best peer", c.name.c_str(), c.median, unit_,
                  best > 0 ? c.median / best : 0);
      if (first) std::printf("   %8.2f ns", c.first);
      if (memory) std::printf("   %8.1f MiB %8.1f MiB", c.peak / (1 << 20), c.kept / (1 << 20));
      if (live_peak_ > 0) std::printf("   %5.2f %5.2f", c.first_peak / live_peak_, c.peak / live_peak_);
      if (quarters) {
        std::printf("  ");
        for (const double bytes : c.quarters) std::printf(" %6.1f", bytes / (1 << 20));
        std::printf(" MiB");
      }
      std::printf("%s\n", c.peer ? "" : c.limit ? "   limit" : "   *");
    }
    std::fflush(stdout);
  }

  std::string question_;
  std::size_t operations_;
  int rounds_;
  double live_peak_ = 0;
  const char* unit_ = "ns";
  double in_a_second_ = 1e9;
  std::vector<contestant> all_;
};

}  // namespace bench
