// Other people's general allocators as memory resources, each as thin as can be, for processes that measure one of
// them.
#pragma once
#include <dlfcn.h>
#include <unistd.h>

#include <bit>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <new>
#include <span>
#include <string>

#include "driver.h"

#ifdef BENCH_BOOST_CONTAINER
#include <boost/container/pmr/synchronized_pool_resource.hpp>
#include <boost/container/pmr/unsynchronized_pool_resource.hpp>
#endif
#ifdef BENCH_FOONATHAN
#include <foonathan/memory/memory_pool_collection.hpp>
#endif

namespace bench {

/// Who takes part: makes the resource in the process that measures it, and lets it end with the process. Null where
/// this machine does not have it.
struct contender {
  std::string name;
  std::pmr::memory_resource* (*make)();
  bool peer = true;
};

template <class Resource>
std::pmr::memory_resource* made() {
  return new Resource;
}

/// Enters everybody into a contest; `run` takes the function that makes the resource, and returns an outcome.
template <class Run>
void enter(comparison& contest, std::span<const contender> all, Run run) {
  for (const contender& c : all) {
    const auto alone = [run, make = c.make] { return run(make); };
    if (c.peer)
      contest.peer_alone(c.name, alone);
    else
      contest.ours_alone(c.name, alone);
  }
}

// --- Libraries that would replace malloc and operator new for the whole process if they were linked ------------------

/// Starts the program once more with what the dynamic linker needs to load jemalloc later: room for its thread-local
/// variables. Call it first.
inline void make_room_for_libraries(char** argv) {
  if (std::getenv("GLIBC_TUNABLES")) return;
  setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
  execv("/proc/self/exe", argv);
}

class library {
 public:
  explicit library(const char* path) : handle_(dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)) {}
  explicit operator bool() const { return handle_ != nullptr; }
  template <class Function>
  void get(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(dlsym(handle_, name));
    if (!function) std::abort();
  }

 private:
  void* handle_;
};

// What every malloc honours without being asked.
inline constexpr std::size_t usual_alignment = alignof(std::max_align_t);

/// mimalloc's functions; null where this machine does not have it.
struct mimalloc_functions {
  void* (*malloc)(std::size_t) = nullptr;
  void* (*malloc_aligned)(std::size_t, std::size_t) = nullptr;
  void (*free)(void*) = nullptr;

  mimalloc_functions() {
    const library loaded{BENCH_LIBRARY_mimalloc};
    if (!loaded) return;
    loaded.get(malloc, "mi_malloc");
    loaded.get(malloc_aligned, "mi_malloc_aligned");
    loaded.get(free, "mi_free");
  }
  explicit operator bool() const { return malloc != nullptr; }
};

class mimalloc final : public std::pmr::memory_resource {
 public:
  static std::pmr::memory_resource* make() {
    const mimalloc_functions functions;
    return functions ? new mimalloc{functions} : nullptr;
  }

 private:
  explicit mimalloc(mimalloc_functions functions) : call_(functions) {}
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return alignment <= usual_alignment ? call_.malloc(bytes) : call_.malloc_aligned(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t, std::size_t) override { call_.free(block); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  mimalloc_functions call_;
};

class jemalloc final : public std::pmr::memory_resource {
 public:
  static std::pmr::memory_resource* make() {
    const library loaded{BENCH_LIBRARY_jemalloc};
    return loaded ? new jemalloc{loaded} : nullptr;
  }

 private:
  explicit jemalloc(library from) {
    from.get(mallocx_, "mallocx");
    from.get(sdallocx_, "sdallocx");
  }
  // The flags are the alignment's logarithm, which is jemalloc's MALLOCX_LG_ALIGN.
  static int flags(std::size_t alignment) { return alignment <= usual_alignment ? 0 : std::countr_zero(alignment); }
  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return mallocx_(bytes, flags(alignment)); }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    sdallocx_(block, bytes, flags(alignment));
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  void* (*mallocx_)(std::size_t, int);
  void (*sdallocx_)(void*, std::size_t, int);
};

class tbbmalloc final : public std::pmr::memory_resource {
 public:
  static std::pmr::memory_resource* make() {
    const library loaded{BENCH_LIBRARY_tbbmalloc};
    return loaded ? new tbbmalloc{loaded} : nullptr;
  }

 private:
  explicit tbbmalloc(library from) {
    from.get(malloc_, "scalable_malloc");
    from.get(aligned_malloc_, "scalable_aligned_malloc");
    from.get(free_, "scalable_free");
  }
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return alignment <= usual_alignment ? malloc_(bytes) : aligned_malloc_(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t, std::size_t) override { free_(block); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  void* (*malloc_)(std::size_t);
  void* (*aligned_malloc_)(std::size_t, std::size_t);
  void (*free_)(void*);
};

// --- Pools -----------------------------------------------------------------------------------------------------------

#ifdef BENCH_BOOST_CONTAINER
/// One of Boost's resources, which do not derive from std's.
template <class Pool>
class boost_resource final : public std::pmr::memory_resource {
  struct pool : Pool {
    void* take(std::size_t bytes, std::size_t alignment) { return Pool::do_allocate(bytes, alignment); }
    void give(void* block, std::size_t bytes, std::size_t alignment) { Pool::do_deallocate(block, bytes, alignment); }
  } pool_;

  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return pool_.take(bytes, alignment); }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    pool_.give(block, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};
inline std::pmr::memory_resource* boost_unsynchronized() {
  return new boost_resource<boost::container::pmr::unsynchronized_pool_resource>;
}
inline std::pmr::memory_resource* boost_synchronized() {
  return new boost_resource<boost::container::pmr::synchronized_pool_resource>;
}
#else
inline std::pmr::memory_resource* boost_unsynchronized() { return nullptr; }
inline std::pmr::memory_resource* boost_synchronized() { return nullptr; }
#endif

#ifdef BENCH_FOONATHAN
/// foonathan's pools of powers of two; what is larger than those, new and delete.
class foonathan_collection final : public std::pmr::memory_resource {
  static constexpr std::size_t largest = 64 << 10;

  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return bytes <= largest && alignment <= usual_alignment ? pools_.allocate_node(bytes)
                                                            : ::operator new(bytes, std::align_val_t{alignment});
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    if (bytes <= largest && alignment <= usual_alignment)
      pools_.deallocate_node(block, bytes);
    else
      ::operator delete(block, std::align_val_t{alignment});
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  foonathan::memory::memory_pool_collection<foonathan::memory::node_pool, foonathan::memory::log2_buckets> pools_{
      largest, 4 << 20};
};
inline std::pmr::memory_resource* foonathan_pools() { return new foonathan_collection; }
#else
inline std::pmr::memory_resource* foonathan_pools() { return nullptr; }
#endif

}  // namespace bench
