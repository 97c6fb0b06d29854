// Command local-volumes answers the claims of one StorageClass with folders of the single node.
//
// The controller is the library's; this file says what a volume is: a folder below -root, as a PersistentVolume of type
// "local" (not hostPath, because only local volumes take a pod's fsGroup), tied to the node it lives on.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

type folders struct {
	root string
	node string
}

var _ controller.Provisioner = folders{}

func (f folders) Provision(_ context.Context, wanted controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(f.root, wanted.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("cannot make the volume's folder: %w", err)
	}
	// The umask took bits away; pods run as any user.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("cannot open the volume's folder to all users: %w", err)
	}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: wanted.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *wanted.StorageClass.ReclaimPolicy,
			AccessModes:                   wanted.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: wanted.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource:        v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{
					{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{f.node}},
				},
			}}}},
		},
	}, controller.ProvisioningFinished, nil
}

func (f folders) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	path := filepath.Join(f.root, volume.Name)
	if volume.Spec.Local == nil || volume.Spec.Local.Path != path {
		return &controller.IgnoredError{Reason: fmt.Sprintf("volume %s is not a folder below %s", volume.Name, f.root)}
	}
	return os.RemoveAll(path)
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file with the address and the identity to use")
	name := flag.String("provisioner", "", "provisioner as the StorageClass names it")
	root := flag.String("root", "", "folder that holds the volumes")
	node := flag.String("node", "", "name of the node that owns the folder")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		klog.Fatalf("cannot read -kubeconfig %s: %v", *kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		klog.Fatalf("cannot make a client from -kubeconfig %s: %v", *kubeconfig, err)
	}
	ctx := context.Background()
	controller.NewProvisionController(klog.FromContext(ctx), client, *name, folders{root: *root, node: *node}, controller.LeaderElection(false)).Run(ctx)
}
