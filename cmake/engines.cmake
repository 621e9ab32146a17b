# The native engines: in each folder kernel.cpp once per instruction set, and native.cpp around them.
# GCC or Clang; anything else leaves the installation without them, and SciPy and pyarrow compute the same (signal/iir/native.py,
# signal/resampling/cpu.py, io/pages/columns.py).

# Products and sums must not be contracted: the same bits on every machine, and SciPy's.
set(strict -ffp-contract=off -fno-math-errno -fno-trapping-math -Wno-psabi -Wall -Wextra)
find_package(Threads REQUIRED)

function(add_kernel folder isa vector_bytes)
  set(kernel ${folder}_${isa})
  add_library(${kernel} OBJECT ${folder}/kernel.cpp)
  target_compile_features(${kernel} PRIVATE cxx_std_20)
  target_compile_definitions(${kernel} PRIVATE BRIDGEFLOW_ISA=${isa} BRIDGEFLOW_VECTOR_BYTES=${vector_bytes})
  target_compile_options(${kernel} PRIVATE ${strict} ${ARGN})
  set_target_properties(${kernel} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden)
  target_link_libraries(_native_${folder} PRIVATE ${kernel})
endfunction()

# `AVX512` and `AVX2` name options beyond those of the instruction set.
function(add_engine folder)
  cmake_parse_arguments(more "" "" "AVX512;AVX2" ${ARGN})
  file(RELATIVE_PATH package ${PROJECT_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR})
  set(module _native_${folder})
  nanobind_add_module(${module} NB_STATIC NOMINSIZE FREE_THREADED ${folder}/native.cpp)  # they keep no state
  set_target_properties(${module} PROPERTIES OUTPUT_NAME _native LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${folder})
  target_compile_features(${module} PRIVATE cxx_std_20)
  target_compile_options(${module} PRIVATE -Wall -Wextra)
  target_link_libraries(${module} PRIVATE Threads::Threads)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    add_kernel(${folder} avx512 64 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mprefer-vector-width=512 ${more_AVX512})
    add_kernel(${folder} avx2 32 -mavx2 -mfma ${more_AVX2})
  endif()
  add_kernel(${folder} baseline 16)
  add_kernel(${folder} wide 64 -O1)  # for tests: large, and slow in any case
  install(TARGETS ${module} LIBRARY DESTINATION ${package}/${folder})
endfunction()
