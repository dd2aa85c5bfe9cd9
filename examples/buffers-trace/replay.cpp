#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <format>
#include <functional>
#include <memory_resource>
#include <new>
#include <optional>
#include <print>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "commands.hpp"

import buffers;

namespace buffers_trace {

namespace {

// --- what a process that measures says to its parent -----------------------------------------------------------------

struct outcome {
  bool is_done = false;
  double first = 0, seconds = 0;  // of the first run, where memory is new; of those after it, the median
  std::size_t held = 0;           // resident bytes at most, of the first run
  std::size_t wanted = 0;         // bytes: what the resource should be made with
  char error[400] = {};           // which names the trace
};

struct measuring {
  const buffers::replayer& recorded;
  buffers::replay_options options;
  bool verifies;  // in a run of its own, as that takes time and memory
};

/// Runs the trace on a resource of this process. `wanted` says afterwards what it should have been made with, and
/// `again` makes it ready for another run.
outcome measure(const measuring& of, std::pmr::memory_resource& resource, std::invocable auto wanted,
                std::invocable auto again) {
  outcome result;
  const buffers::replay_summary first = of.recorded.run(resource, of.options);
  result.first = first.seconds;
  result.held = first.peak_held;
  result.wanted = wanted();
  std::vector<double> times;
  for (double spent = 0; times.size() < 9 && (times.size() < 3 || spent < 0.5) && spent < 3; spent += times.back()) {
    again();
    times.push_back(of.recorded.run(resource, of.options).seconds);
  }
  if (of.verifies) {
    again();
    buffers::replay_options verifying = of.options;
    verifying.check_overlap = true;
    verifying.contents = buffers::replay_contents::verified;
    of.recorded.run(resource, verifying);
  }
  std::ranges::sort(times);
  result.seconds = times[times.size() / 2];
  result.is_done = true;
  return result;
}

// --- who takes part --------------------------------------------------------------------------------------------------

struct contestant {
  std::string_view name;
  bool is_for_threads;  // may be used by several at the same time
  bool reuses;          // a block that was freed; else it needs room for all blocks together
  outcome (*run)(const measuring& of);
  /// How to make it for what was recorded, given outcome::wanted.
  std::string (*recommend)(std::size_t wanted);
};

template <class Resource>
outcome measure_shared(const measuring& of, Resource& resource, std::invocable auto wanted, std::invocable auto again) {
  if (!of.options.free_running) return measure(of, resource, wanted, again);
  buffers::synchronized_resource shared{&resource};
  return measure(of, shared, wanted, again);
}

std::size_t nothing_wanted() { return 0; }
void nothing_to_do() {}
std::size_t rounded(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

constexpr contestant everybody[] = {
    {"slab_resource", false, false,
     [](const measuring& of) {
       buffers::slab_resource slab;
       return measure_shared(
           of, slab, [&] { return slab.peak(); }, [&] { slab.reset(); });
     },
     [](std::size_t wanted) { return std::format("slab_resource{{{{.first_slab = {}}}}}", rounded(wanted)); }},
    {"bump_resource", false, false,
     [](const measuring& of) {
       buffers::bump_resource bump{of.recorded.total_bytes()};
       return measure_shared(
           of, bump, [&] { return bump.peak(); }, [&] { bump.reset(); });
     },
     [](std::size_t wanted) { return std::format("bump_resource{{{}}}", rounded(wanted)); }},
    {"pool_resource", false, true,
     [](const measuring& of) {
       buffers::pool_resource pool;
       return measure_shared(
           of, pool, [&] { return pool.capacity(); }, nothing_to_do);
     },
     [](std::size_t wanted) {
       return std::format("pool_resource{{{{.first_chunk = {}}}}}",
                          std::clamp<std::size_t>(std::bit_ceil(wanted), 64 << 10, 64 << 20));
     }},
    {"concurrent_pool_resource", true, true,
     [](const measuring& of) {
       buffers::concurrent_pool_resource pool;
       return measure(
           of, pool, [&] { return pool.capacity(); }, nothing_to_do);
     },
     [](std::size_t wanted) {
       return std::format("concurrent_pool_resource{{{{.first_chunk = {}}}}}",
                          std::clamp<std::size_t>(std::bit_ceil(wanted), 64 << 10, 64 << 20));
     }},
    {"std::pmr::unsynchronized_pool_resource", false, true,
     [](const measuring& of) {
       std::pmr::unsynchronized_pool_resource pool;
       return measure_shared(of, pool, nothing_wanted, nothing_to_do);
     },
     [](std::size_t) { return std::string("std::pmr::unsynchronized_pool_resource"); }},
    {"std::pmr::synchronized_pool_resource", true, true,
     [](const measuring& of) {
       std::pmr::synchronized_pool_resource pool;
       return measure(of, pool, nothing_wanted, nothing_to_do);
     },
     [](std::size_t) { return std::string("std::pmr::synchronized_pool_resource"); }},
    {"new and delete", true, true,
     [](const measuring& of) { return measure(of, *std::pmr::new_delete_resource(), nothing_wanted, nothing_to_do); },
     [](std::size_t) { return std::string("new and delete: what the program has now"); }},
};

// --- a process for each ----------------------------------------------------------------------------------------------

/// A bar on stderr while there is something to wait for; nothing where that is no terminal.
class progress_bar {
 public:
  progress_bar(std::string_view what, std::uint64_t steps) : what_(what), steps_(std::max<std::uint64_t>(steps, 1)) {}
  progress_bar(const progress_bar&) = delete;
  progress_bar& operator=(const progress_bar&) = delete;
  ~progress_bar() {
    if (is_shown_) std::print(stderr, "\r\x1b[K");
  }
  /// The first run is the whole bar; those after it, for better times, leave it full.
  void show(std::uint64_t done) {
    if (!isatty(STDERR_FILENO)) return;
    const std::size_t filled = static_cast<std::size_t>(std::min(done, steps_) * width / steps_);
    std::print(stderr, "\r{:<40}[{:#<{}}{:{}}]", what_, "", filled, "", width - filled);
    is_shown_ = true;
  }

 private:
  static constexpr std::size_t width = 30;
  std::string_view what_;
  std::uint64_t steps_;
  bool is_shown_ = false;
};

/// Memory that a child process shares.
class shared_counter {
 public:
  shared_counter()
      : page_(mmap(nullptr, sizeof(std::atomic<std::uint64_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                   0)) {
    if (page_ == MAP_FAILED) throw std::bad_alloc();
    ::new (page_) std::atomic<std::uint64_t>(0);
  }
  shared_counter(const shared_counter&) = delete;
  shared_counter& operator=(const shared_counter&) = delete;
  ~shared_counter() { munmap(page_, sizeof(std::atomic<std::uint64_t>)); }
  std::atomic<std::uint64_t>& operator*() const { return *static_cast<std::atomic<std::uint64_t>*>(page_); }

 private:
  void* page_;
};

outcome run_alone(const contestant& who, measuring of) {
  const shared_counter done;
  of.options.progress = &*done;
  int ends[2];
  if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  std::fflush(stdout);
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    outcome result;
    try {
      result = who.run(of);
    } catch (const std::exception& error) {
      said_by(error).copy(result.error, sizeof result.error - 1);
    }
    [[maybe_unused]] const auto told = write(ends[1], &result, sizeof result);
    _exit(0);
  }
  close(ends[1]);
  {
    progress_bar bar(who.name, of.recorded.summary().allocations + of.recorded.summary().deallocations);
    pollfd has_told{ends[0], POLLIN, 0};
    while (poll(&has_told, 1, 100) == 0) bar.show((*done).load(std::memory_order_relaxed));
  }
  outcome result;
  if (read(ends[0], &result, sizeof result) != static_cast<ssize_t>(sizeof result)) {
    result = {};
    std::strcpy(result.error, "its process has died");
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return result;
}

// --- the table -------------------------------------------------------------------------------------------------------

struct measured {
  const contestant* who;
  outcome result;
};

/// The fastest of those that hold at most half as much again as the leanest one.
const measured* best_of(const std::vector<measured>& all, bool for_threads) {
  std::size_t leanest = SIZE_MAX;
  const auto takes_part = [&](const measured& m) {
    return m.result.is_done && (!for_threads || m.who->is_for_threads);
  };
  for (const measured& m : all)
    if (takes_part(m)) leanest = std::min(leanest, std::max<std::size_t>(m.result.held, 4096));
  const measured* best = nullptr;
  for (const measured& m : all)
    if (takes_part(m) && static_cast<double>(m.result.held) <= 1.5 * static_cast<double>(leanest) &&
        (best == nullptr || m.result.seconds < best->result.seconds))
      best = &m;
  return best;
}

std::size_t physical_memory() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

int replay_on_all(const replay_command& wanted) {
  std::vector<const contestant*> taking_part;
  for (const contestant& who : everybody)
    if (wanted.only.empty() ||
        std::ranges::any_of(wanted.only, [&](const std::string& name) { return who.name.contains(name); }))
      taking_part.push_back(&who);
  if (taking_part.empty()) {
    complain("--only={}: there is no such resource", wanted.only.front());
    return wrong_usage;
  }

  const buffers::replayer recorded(wanted.trace);
  const buffers::replay_summary& all = recorded.summary();
  std::println("{}: {} events of {} {}, at most {} live in {} blocks{}\n", wanted.trace, grouped(all.events),
               all.threads, all.threads == 1 ? "thread" : "threads", bytes_text(all.peak_bytes),
               grouped(all.peak_blocks), wanted.free_running ? "; free-running" : "");
  if (all.damage) complain("{}", said_by(*all.damage));
  const std::size_t memory = physical_memory();
  if (all.peak_bytes > memory) {
    complain("{}: more was live than this machine has memory", wanted.trace);
    return failure;
  }
  if (all.allocations == 0) return all.damage ? failure : success;

  const measuring of{recorded, {.free_running = wanted.free_running, .check_overlap = false}, wanted.verify};
  const double steps = static_cast<double>(all.allocations + all.deallocations);
  std::println("{:<40}{:>11}{:>11}{:>12}{:>13}", "", "time", "an event", "resident", "of the live");
  std::vector<measured> results;
  bool all_well = !all.damage;
  for (const contestant* const who : taking_part) {
    if (!who->reuses && recorded.total_bytes() > memory / 4) {
      std::println("{:<40}  left out: never reuses a block, and would need {}", who->name,
                   bytes_text(recorded.total_bytes()));
      continue;
    }
    const outcome result = run_alone(*who, of);
    if (!result.is_done) {
      std::println("{:<40}  failed: {}", who->name, std::string_view(result.error));
      all_well = false;
      continue;
    }
    std::println("{:<40}{:>8.2f} ms {:>7.1f} ns {:>11}{:>13.2f}{}", who->name, 1e3 * result.seconds,
                 1e9 * result.seconds / steps, bytes_text(result.held),
                 static_cast<double>(result.held) / static_cast<double>(std::max<std::size_t>(all.peak_bytes, 1)),
                 wanted.free_running && !who->is_for_threads ? "   behind a mutex" : "");
    results.push_back({who, result});
  }
  const bool for_threads = all.threads > 1;
  if (const measured* const best = best_of(results, for_threads)) {
    std::println("\nrecommended: {}", best->who->recommend(best->result.wanted));
    std::println("the fastest of those{} that hold at most half as much again as the leanest",
                 for_threads ? " for several threads" : "");
  }
  return all_well ? success : failure;
}

}  // namespace buffers_trace
