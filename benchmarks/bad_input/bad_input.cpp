// What happens on bad input? The same wrong calls to our resources and to those of the peers that this machine has, each
// in a child process, as some of them do not survive it. Prints the table of docs/bad_input.md.
//
//     benchmarks/run bad_input
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "peers.h"
#ifdef BENCH_BOOST_CONTAINER
#include <boost/container/pmr/monotonic_buffer_resource.hpp>
#endif
import buffers;

namespace {

constexpr std::size_t most = std::numeric_limits<std::size_t>::max();

std::pmr::memory_resource* boost_monotonic() {
#ifdef BENCH_BOOST_CONTAINER
  return new bench::boost_resource<boost::container::pmr::monotonic_buffer_resource>;
#else
  return nullptr;
#endif
}

const struct {
  const char* name;
  std::pmr::memory_resource* (*make)();
  bool frees;  // single blocks; the others take everything back at once
} everybody[] = {
    {"`pool_resource`", bench::made<buffers::pool_resource>, true},
    {"`slab_resource`", bench::made<buffers::slab_resource>, false},
    {"std pool", bench::made<std::pmr::unsynchronized_pool_resource>, true},
    {"std monotonic", bench::made<std::pmr::monotonic_buffer_resource>, false},
    {"Boost pool", bench::boost_unsynchronized, true},
    {"Boost monotonic", boost_monotonic, false},
    {"foonathan pools", bench::foonathan_pools, true},
    {"mimalloc", bench::mimalloc::make, true},
    {"jemalloc", bench::jemalloc::make, true},
};

using memory = std::pmr::memory_resource;

bool is_aligned(const void* block, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

// The compiler takes it that a memory_resource returns no null; those here that stand for C functions do.
void* take(memory& m, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
  void* volatile block = m.allocate(bytes, alignment);
  return block;
}

// What each call came to, in a few words.
std::string huge(memory& m) {
  const char* const live = static_cast<const char*>(take(m, 64));
  const char* const block = static_cast<const char*>(take(m, most - 7));
  if (block == nullptr) return "null";
  const char* const next = static_cast<const char*>(take(m, 64));
  return next < live + 64 && live < next + 64 ? "**accepted, the next block overlaps**" : "**accepted**";
}
std::string odd_alignment(memory& m) {
  volatile std::size_t three = 3;  // or the compiler sees it
  return take(m, 16, three) == nullptr ? "null" : "**accepted**";
}
template <std::size_t Alignment>
std::string aligned(memory& m) {
  bool every = true;
  for (int i = 0; i < 64; ++i) {
    void* const block = take(m, Alignment + 8, Alignment);
    if (block == nullptr) return "null";
    every &= is_aligned(block, Alignment);
    (void)take(m, 24, 8);
  }
  return every ? "aligned" : "**not aligned**";
}
std::string empty(memory& m) {
  const void* const a = take(m, 0, 64);
  if (a == nullptr) return "null";
  return is_aligned(a, 64) ? "an aligned pointer" : "**a pointer that is not aligned**";
}
std::string null(memory& m) {
  void* volatile nothing = nullptr;
  m.deallocate(nothing, 16);  // NOLINT(clang-analyzer-core.NonNullParamChecker): that is the question
  void* const block = take(m, 16);
  return block != nullptr ? "ignored" : "**the next block is null**";
}
std::string twice(memory& m) {
  void* const other = take(m, 48);
  void* const block = take(m, 48);
  m.deallocate(block, 48);
  m.deallocate(block, 48);
  const void *const a = take(m, 48), *const b = take(m, 48);
  m.deallocate(other, 48);
  return a == b ? "**one block handed out twice**" : "no harm seen";
}
std::string wrong_size(memory& m) {
  char* const small = static_cast<char*>(take(m, 32));
  char* const neighbour = static_cast<char*>(take(m, 32));
  m.deallocate(small, 512);
  std::memset(neighbour, 7, 32);
  char* const large = static_cast<char*>(take(m, 512));
  std::memset(large, 1, 512);
  for (int i = 0; i < 32; ++i)
    if (neighbour[i] != 7) return "**a neighbour was overwritten**";
  return "no harm seen";
}

const struct {
  const char* call;
  std::string (*run)(memory&);
  bool frees;
} calls[] = {
    {"`allocate(SIZE_MAX - 7)`", huge, false},
    {"alignment 3", odd_alignment, false},
    {"alignment 64", aligned<64>, false},
    {"alignment 4096", aligned<4096>, false},
    {"`allocate(0, 64)`", empty, false},
    {"`deallocate(nullptr)`", null, false},
    {"a block freed twice", twice, true},
    {"freed with a wrong size", wrong_size, true},
};

std::string outcome_here(std::string (*run)(memory&), memory& m) {
  try {
    return run(m);
  } catch (const buffers::exhausted&) {
    return "`exhausted`";
  } catch (const std::bad_alloc&) {
    return "`bad_alloc`";
  } catch (const std::invalid_argument&) {
    return "`invalid_argument`";
  } catch (const std::logic_error&) {
    return "`logic_error`";
  } catch (const std::exception&) {
    return "an exception";
  }
}

// In a child: a crash, an abort and a hang are results too.
std::string outcome(std::string (*run)(memory&), memory* (*make)()) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);  // what allocators have to say before they abort
    alarm(10);
    memory* const m = make();
    const std::string result = m == nullptr ? "" : outcome_here(run, *m);
    _exit(write(ends[1], result.data(), result.size()) >= 0 ? 0 : 1);
  }
  close(ends[1]);
  char text[256];
  const ssize_t read_bytes = read(ends[0], text, sizeof text);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGABRT ? "aborts" : "**crashes**";
  return std::string(text, read_bytes > 0 ? static_cast<std::size_t>(read_bytes) : 0);
}

}  // namespace

int main(int, char** argv) {
  bench::make_room_for_libraries(argv);
  std::printf("| call |");
  for (const auto& each : everybody) std::printf(" %s |", each.name);
  std::printf("\n|---|");
  for (std::size_t i = 0; i < std::size(everybody); ++i) std::printf("---|");
  for (const auto& call : calls) {
    std::printf("\n| %s |", call.call);
    for (const auto& each : everybody) {
      std::fflush(stdout);
      std::printf(" %s |", call.frees && !each.frees ? "–" : outcome(call.run, each.make).c_str());
    }
  }
  std::printf("\n");
}
