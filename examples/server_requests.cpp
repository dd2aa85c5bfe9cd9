// server_requests: threads that receive requests and threads that answer them, with a queue between them, as in many a
// server. A request is made of strings and vectors whose memory is allocated by one thread and freed by another, one
// million times over: on a concurrent_pool_resource, whose memory stays as large as it was soon after the start, and
// for comparison on new and delete.
//
//     server_requests [REQUESTS]     that many requests, 1000000 when it is not given; from 100 on
//
// The text in the requests is that of the licences on a Debian machine, or a few lines of our own where there are none.
// A checksum over all that was sent is compared with one over all that was received.
//
// Exit code: 0; 1 when a checksum is wrong, memory was left behind, or nothing can be printed; 2 for wrong arguments.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <print>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "output.hpp"

import buffers;

namespace {

constexpr unsigned receivers = 2, workers = 2;  // threads of each kind
constexpr std::size_t queue_length = 256;

// --- requests --------------------------------------------------------------------------------------------------------

struct request {
  request(std::uint64_t n, std::pmr::memory_resource* memory) : number(n), target(memory), fields(memory) {}

  std::uint64_t number;
  std::pmr::string target;
  std::pmr::vector<std::pmr::string> fields;
};

/// A request gives its own memory back as well, to where it came from.
struct give_back {
  std::pmr::memory_resource* memory = nullptr;
  void operator()(request* done) const { std::pmr::polymorphic_allocator<>(memory).delete_object(done); }
};
using request_pointer = std::unique_ptr<request, give_back>;

/// The request with that number: the same each time.
request_pointer make_request(std::uint64_t number, const std::vector<std::string>& lines,
                             std::pmr::memory_resource* memory) {
  request_pointer made{std::pmr::polymorphic_allocator<>(memory).new_object<request>(number, memory), {memory}};
  std::array<char, 20> digits;
  made->target = "/licences/of/this/machine/line/";
  made->target.append(digits.data(), std::to_chars(digits.begin(), digits.end(), number).ptr);
  std::size_t line = number * 7919 % lines.size();
  for (std::uint64_t i = 0; i < 3 + number % 8; ++i) {
    made->fields.emplace_back(lines[line]);
    line = line + 1 == lines.size() ? 0 : line + 1;
  }
  return made;
}

/// Sums of these do not depend on the order that requests arrive in.
std::uint64_t checksum(const request& of) {
  const std::hash<std::string_view> hash;
  std::uint64_t sum = of.number ^ hash(of.target);
  for (const std::pmr::string& field : of.fields) sum = sum * 31 + hash(field);
  return sum;
}

// --- the queue -------------------------------------------------------------------------------------------------------

/// Those who receive wait when it is full, those who work when it is empty. A worker takes all that is there: so there
/// is not much waiting for the lock, and what is measured is the memory.
class request_queue {
 public:
  request_queue() { waiting_.reserve(queue_length); }

  /// False when the queue was closed, and the request is gone.
  bool push(request_pointer sent) {
    std::unique_lock locked{mutex_};
    has_room_.wait(locked, [&] { return closed_ || waiting_.size() < queue_length; });
    if (closed_) return false;
    waiting_.push_back(std::move(sent));
    if (waiting_.size() == 1) has_requests_.notify_one();
    return true;
  }
  /// False when the queue was closed and is empty.
  bool take_all(std::vector<request_pointer>& taken) {
    std::unique_lock locked{mutex_};
    has_requests_.wait(locked, [&] { return closed_ || !waiting_.empty(); });
    taken.swap(waiting_);
    has_room_.notify_all();
    return !taken.empty();
  }
  void close() {
    const std::lock_guard locked{mutex_};
    closed_ = true;
    has_room_.notify_all();
    has_requests_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_room_, has_requests_;
  std::vector<request_pointer> waiting_;
  bool closed_ = false;
};

// --- talking to the user ---------------------------------------------------------------------------------------------

const bool on_terminal = isatty(STDOUT_FILENO);

double mebibytes(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// The bytes of this process that are in memory now; 0 where the system does not say.
std::size_t resident_bytes() {
  std::size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t peak_resident_bytes() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<std::size_t>(used.ru_maxrss) * 1024;
}

/// A line for each tenth of the way; on a terminal a bar in between.
class progress {
 public:
  progress(std::uint64_t steps, const buffers::concurrent_pool_resource& pool) : steps_(steps), pool_(pool) {
    std::println("    requests   resident MiB   pool MiB");
  }

  /// Of what was printed: the system's own peak comes a little late.
  std::size_t most_resident() const { return most_resident_; }

  void step(std::uint64_t more) {
    const std::lock_guard locked{mutex_};
    done_ += more;
    for (; done_ >= steps_ * (tenths_ + 1) / 10 && tenths_ < 10; ++tenths_) {
      const std::size_t resident = resident_bytes();
      most_resident_ = std::max(most_resident_, resident);
      std::println("{}{:>12}{:>15.1f}{:>11.1f}", on_terminal ? "\r\x1b[K" : "", steps_ * (tenths_ + 1) / 10,
                   mebibytes(resident), mebibytes(pool_.capacity()));
    }
    const std::size_t filled = done_ * width / steps_;
    if (!on_terminal || filled == filled_) return;
    filled_ = filled;
    std::print("\r[{:#<{}}{:{}}]{}", "", filled, "", width - filled, tenths_ == 10 ? "\r\x1b[K" : "");
    std::fflush(stdout);
  }

 private:
  static constexpr std::size_t width = 50;
  std::mutex mutex_;
  std::uint64_t steps_, done_ = 0, tenths_ = 0;
  std::size_t most_resident_ = 0;
  std::size_t filled_ = 0;
  const buffers::concurrent_pool_resource& pool_;
};

// --- the server ------------------------------------------------------------------------------------------------------

/// Passes that many requests through the queue, with all of their memory from `memory`. Calls step(n) for every n that
/// were answered. Whether what was received is what was sent.
bool serve(std::uint64_t requests, const std::vector<std::string>& lines, std::pmr::memory_resource* memory,
           const std::function<void(std::uint64_t)>& step) {
  request_queue queue;
  std::atomic<std::uint64_t> sent = 0, received = 0, answered = 0;
  std::atomic<unsigned> receiving = receivers;
  std::mutex mutex;
  std::exception_ptr error;
  const auto guarded = [&](auto work) {
    return [&, work] {
      try {
        work();
      } catch (...) {  // then it is over for all of them
        const std::lock_guard locked{mutex};
        error = std::current_exception();
        queue.close();
      }
    };
  };

  std::vector<std::thread> threads;
  threads.reserve(receivers);
  for (unsigned i = 0; i < receivers; ++i)
    threads.emplace_back(guarded([&, i] {
      std::uint64_t sum = 0;
      for (std::uint64_t number = i; number < requests; number += receivers) {
        request_pointer made = make_request(number, lines, memory);
        sum += checksum(*made);
        if (!queue.push(std::move(made))) break;
      }
      sent += sum;
      if (--receiving == 0) queue.close();
    }));
  for (unsigned i = 0; i < workers; ++i)
    threads.emplace_back(guarded([&] {
      std::uint64_t sum = 0;
      std::vector<request_pointer> taken;
      taken.reserve(queue_length);
      for (; queue.take_all(taken); taken.clear()) {  // which frees what another thread allocated
        for (const request_pointer& next : taken) sum += checksum(*next);
        answered += taken.size();
        step(taken.size());
      }
      received += sum;
    }));
  for (std::thread& thread : threads) thread.join();
  if (error != nullptr) std::rethrow_exception(error);
  return sent == received && answered == requests;
}

/// The lines of the licences, or our own.
std::vector<std::string> read_lines() {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/share/common-licenses", error))
    files.push_back(entry.path());
  std::ranges::sort(files);
  std::vector<std::string> lines;
  for (const std::filesystem::path& file : files) {
    std::ifstream text(file);
    for (std::string line; std::getline(text, line);)
      if (!line.empty()) lines.push_back(line);
  }
  if (lines.empty())
    lines = {"A request comes in on one thread, where its strings are allocated,",
             "and goes through a queue to another one.", "There it is answered, and there its strings are freed.",
             "What a pool keeps for the first thread would be of no use to it if it stayed with the second one:",
             "so full lists of blocks go back to a store in the middle, for whoever runs out of them."};
  return lines;
}

int run(std::uint64_t requests) {
  const std::vector<std::string> lines = read_lines();
  std::println("{} requests made of {} lines of text, from {} threads to {}", requests, lines.size(), receivers,
               workers);
  buffers::concurrent_pool_resource pool;
  progress shown{requests, pool};
  bool right = serve(requests, lines, &pool, [&](std::uint64_t more) { shown.step(more); });
  right &= pool.used() == 0;
  const std::size_t peak = std::max(peak_resident_bytes(), shown.most_resident());
  std::println("{}, {} bytes left in use", right ? "all was received as it was sent" : "NOT all was received as sent",
               pool.used());
  std::println("peak resident {:.1f} MiB, of which the pool's {:.1f}", mebibytes(peak), mebibytes(pool.capacity()));

  constexpr int rounds = 5;
  const std::uint64_t few = requests / rounds;
  const auto [pool_time, heap_time] = median_times(
      rounds, [&] { right &= serve(few, lines, &pool, [](std::uint64_t) {}); },
      [&] { right &= serve(few, lines, std::pmr::new_delete_resource(), [](std::uint64_t) {}); });
  if (!right) std::println("a checksum is WRONG");
  std::println("concurrent pool  {:>10.0f} requests per second, {:.2f} times as many",
               static_cast<double>(few) / pool_time, heap_time / pool_time);
  std::println("new and delete   {:>10.0f} requests per second (medians of {} rounds of {})",
               static_cast<double>(few) / heap_time, rounds, few);
  return right && pool.used() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t requests = 1'000'000;
  if (argc > 1) {
    const std::string_view number = argv[1];
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), requests);
    if (argc > 2 || error != std::errc() || end != number.data() + number.size() || requests < 100) {
      std::println(stderr, "server_requests: usage: server_requests [REQUESTS]     (from 100 on)");
      return 2;
    }
  }
  try {
    return end_of_output(run(requests));
  } catch (const std::exception& error) {
    std::println(stderr, "server_requests: {}", error.what());
    return EXIT_FAILURE;
  }
}
