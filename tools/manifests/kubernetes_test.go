// Package manifests_test holds deploy/kubernetes.yaml against the types of Kubernetes. It
// is of the tools' module, so that the service does not depend on them.
package manifests_test

import (
	"bytes"
	"os"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// manifest is what deploy/kubernetes.yaml holds.
type manifest struct {
	deployment appsv1.Deployment
	services   []corev1.Service
	budget     policyv1.PodDisruptionBudget
	ingress    networkingv1.Ingress
}

// read refuses what the types do not know, as a server does with strict validation.
func read(t *testing.T) (m manifest) {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(raw, []byte("\n---\n")) {
		var head metav1.TypeMeta
		if err := yaml.Unmarshal(document, &head); err != nil {
			t.Fatal(err)
		}
		var into any
		switch head.APIVersion + " " + head.Kind {
		case "apps/v1 Deployment":
			into = &m.deployment
		case "v1 Service":
			m.services = append(m.services, corev1.Service{})
			into = &m.services[len(m.services)-1]
		case "policy/v1 PodDisruptionBudget":
			into = &m.budget
		case "networking.k8s.io/v1 Ingress":
			into = &m.ingress
		default:
			t.Fatalf("a document of %q %q", head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatalf("%s: %v", head.Kind, err)
		}
	}
	return m
}

// TestKubernetes: the objects of the manifest find each other.
func TestKubernetes(t *testing.T) {
	m := read(t)
	pod := m.deployment.Spec.Template
	for name, selector := range map[string]*metav1.LabelSelector{
		"deployment": m.deployment.Spec.Selector, "budget": m.budget.Spec.Selector,
		"spread": pod.Spec.TopologySpreadConstraints[0].LabelSelector,
	} {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || s.Empty() || !s.Matches(labels.Set(pod.Labels)) {
			t.Errorf("the selector of the %s does not match the pods: %v, %v", name, s, err)
		}
	}
	if len(pod.Spec.Containers) != 1 || len(m.services) != 2 {
		t.Fatalf("%d containers, %d services", len(pod.Spec.Containers), len(m.services))
	}
	c := pod.Spec.Containers[0]
	port := func(name string) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
	}
	for _, s := range m.services {
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) || len(s.Spec.Ports) != 1 || !port(s.Spec.Ports[0].TargetPort.StrVal) {
			t.Errorf("service %s leads nowhere", s.Name)
		}
	}
	for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || !port(p.HTTPGet.Port.StrVal) {
			t.Errorf("no %s probe", name)
		}
	}
	// The outside gets the public port alone.
	public := m.services[slices.IndexFunc(m.services, func(s corev1.Service) bool { return s.Name == "codeword" })]
	for _, rule := range m.ingress.Spec.Rules {
		for _, p := range rule.HTTP.Paths {
			if b := p.Backend.Service; b.Name != public.Name || b.Port.Name != public.Spec.Ports[0].Name || b.Port.Name != "public" {
				t.Errorf("the ingress leads to %+v", b)
			}
		}
	}
	mounted := c.VolumeMounts[0].MountPath
	for _, name := range []string{"CODEWORD_KEYSET", "CODEWORD_CARRIERS"} {
		file := value(c.Env, name)
		if !slices.ContainsFunc(pod.Spec.Volumes[0].Secret.Items, func(i corev1.KeyToPath) bool { return mounted+"/"+i.Path == file }) {
			t.Errorf("%s is %q, which no volume has", name, file)
		}
	}
	var drain time.Duration
	for _, name := range []string{"CODEWORD_DRAIN_DELAY", "CODEWORD_DRAIN_TIMEOUT"} {
		d, err := time.ParseDuration(value(c.Env, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		drain += d
	}
	if grace := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace < drain+5*time.Second {
		t.Errorf("pods are killed after %v, while draining takes up to %v", grace, drain)
	}
}

func value(env []corev1.EnvVar, name string) string {
	for _, e := range env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// TestKubernetesRestricted: the pods fit the restricted profile of the Pod Security
// Standards.
func TestKubernetesRestricted(t *testing.T) {
	m := read(t)
	pod := m.deployment.Spec.Template.Spec
	if s := pod.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *s.FSGroup != *s.RunAsGroup {
		t.Errorf("%+v", s)
	}
	for _, c := range pod.Containers {
		if s := c.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s: %+v", c.Name, s)
		}
	}
	for _, v := range pod.Volumes {
		if v.Secret == nil {
			t.Errorf("%s is no secret", v.Name)
		}
	}
}
