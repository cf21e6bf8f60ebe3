package testdb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const startLimit = 60 * time.Second

// BuildDir returns the repository's build folder: where MySQL is unpacked and
// the templates are kept. TRIBUTARY_BUILD overrides it.
func BuildDir() (string, error) {
	if dir := os.Getenv("TRIBUTARY_BUILD"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return filepath.Join(d, "build"), nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find the build folder: no go.mod in %s or above it; set TRIBUTARY_BUILD", dir)
		}
	}
}

// owner returns the user that a server which refuses root runs as: nil unless
// this is root, else the named user or nobody.
func owner(names ...string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range append(names, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("no user %s nor nobody to run the server as", names)
}

// tempDir makes a temporary folder that cred's user owns and can reach: the
// usual place unless one of the folders above it is closed to others.
func tempDir(name string, cred *syscall.Credential) (string, error) {
	base := os.TempDir()
	if cred != nil && !open(base) {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "tributary-"+name+"-")
	if err != nil {
		return "", err
	}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// open reports whether any user may enter a folder.
func open(dir string) bool {
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if d == filepath.Dir(d) {
			return true
		}
	}
}

// copyTemplate makes dir, which must not exist, a copy of the template with
// that name and gives it to cred's user. The first call for a name has create
// make the template, in a folder that cred's user can reach; calls at the same
// time from other processes wait for it.
func copyTemplate(name, dir string, cred *syscall.Credential, create func(dir string) error) error {
	build, err := BuildDir()
	if err != nil {
		return err
	}
	root := filepath.Join(build, "testdb")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(root, name+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	template := filepath.Join(root, name)
	if _, err := os.Stat(template); err != nil {
		if err := create(dir); err != nil {
			return err
		}
		// A copy that is cut short must not be taken for a template.
		half := template + ".half"
		if err := errors.Join(os.RemoveAll(half), copyTree(dir, half), os.Rename(half, template)); err != nil {
			return fmt.Errorf("keep template %s: %w", name, err)
		}
		return nil
	}
	if err := copyTree(template, dir); err != nil {
		return fmt.Errorf("copy template %s: %w", name, err)
	}
	if cred == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(cred.Uid), int(cred.Gid))
	})
}

// copyTree copies a folder with its modes; cp knows how to share blocks.
func copyTree(from, to string) error {
	return runAs(nil, "/", "cp", "-a", "--reflink=auto", from, to)
}

// lock waits until this process alone holds the named lock file.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// runAs runs a program to its end as cred's user.
func runAs(cred *syscall.Credential, dir, path string, args ...string) error {
	cmd := exec.Command(path, args...) //nolint:noctx // initialisation, seconds at most
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(path), err, out)
	}
	return nil
}
